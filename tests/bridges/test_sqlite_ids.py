"""SQLite types values and not columns: an id finds its row whatever type the key's value has."""

from __future__ import annotations

import json

import pytest

from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.bridges.row_key import key_texts
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id",))


@pytest.mark.parametrize(
    ("declared", "keys"),
    [
        ("INT", [1, -7, "x", "abc", 2.5, b"\xff\x0a", 2**60, float("inf")]),
        ("BIGINT", ["7a", 7, 1e18]),
        ("DECIMAL(9,2)", [1, 1.5, "n/a", b"\xab", 1e300]),
        ("BOOLEAN", [1, "yes", b"\xfe"]),
        ("VARCHAR(9)", ["1", "a", b"\x31\x32", b"\xff"]),
    ],
)
def test_an_id_finds_its_row_whatever_the_keys_value_is(
    sqlite_source: SourceDatabase, declared: str, keys: list[object]
) -> None:
    sqlite_source.run(f"CREATE TABLE items (id {declared} PRIMARY KEY)")
    sqlite_source.insert("items", [(key,) for key in keys])
    frame, _ = sqlite_source.walk(ITEMS, 2)
    texts = key_texts(frame, ITEMS.key).to_list()

    found = sqlite_source.bridge.read_rows(ITEMS, [*texts, "none"])
    named = sqlite_source.bridge.name_rows(ITEMS, [*texts, "none"])

    assert len(set(texts)) == len(keys)
    assert sorted(key_texts(found.frame, ITEMS.key)) == sorted(texts)
    assert named.rows == {text: text for text in texts}
    assert found.malformed == named.malformed == {}


@pytest.mark.parametrize("declared", ["INT", "REAL", "BOOLEAN"])
def test_an_id_finds_the_row_of_a_view_over_numbers_and_texts(
    sqlite_source: SourceDatabase, declared: str
) -> None:
    sqlite_source.run(
        f"CREATE TABLE numbers (id {declared})",
        "CREATE TABLE texts (id TEXT)",
        "INSERT INTO numbers VALUES (2)",
        "INSERT INTO texts VALUES ('7'), ('a')",
        "CREATE VIEW items AS SELECT id FROM numbers UNION ALL SELECT id FROM texts",
    )
    texts = key_texts(sqlite_source.walk(ITEMS, 5)[0], ITEMS.key).to_list()

    found = sqlite_source.bridge.read_rows(ITEMS, texts)

    assert len(texts) == 3
    assert sorted(key_texts(found.frame, ITEMS.key)) == sorted(texts)


def test_an_id_that_names_no_row_has_the_form_that_the_column_would_give_it(
    sqlite_source: SourceDatabase,
) -> None:
    sqlite_source.run("CREATE TABLE items (id INT PRIMARY KEY)", "INSERT INTO items VALUES (7)")

    named = sqlite_source.bridge.name_rows(ITEMS, ["007", "0031", "31.0", "ab"])

    assert named.rows == {"007": "7"}
    assert named.forms == {"0031": "31", "31.0": "31", "ab": "ab"}


@pytest.mark.parametrize("declared", ["INT", "NUMERIC", "BOOLEAN", "BLOB", ""])
def test_hundreds_of_ids_of_two_parts_are_asked_for_at_once(
    sqlite_source: SourceDatabase, declared: str
) -> None:
    # Given parts that may be a number, a text or bytes
    sqlite_source.run(f"CREATE TABLE items (a {declared}, b {declared}, PRIMARY KEY (a, b))")
    sqlite_source.insert("items", [(n, n + 1) for n in range(1_000, 1_400)])
    selection = Selection("items", ("a", "b"), ("a", "b"))
    ids = [json.dumps([str(n), str(n + 1)], separators=(",", ":")) for n in range(1_000, 1_400)]
    bridge = sqlite_source.bridge

    assert bridge.read_rows(selection, ids).frame.height == 400
    assert bridge.name_rows(selection, ids).rows == {id: id for id in ids}
    assert sorted(set(bridge.same_keys(selection, ids[:30], ids))) == [(id, id) for id in ids[:30]]


def test_a_table_of_more_columns_than_an_expression_may_be_deep_is_read(
    sqlite_source: SourceDatabase,
) -> None:
    names = [f"c{n}" for n in range(1_500)]
    sqlite_source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, {' TEXT, '.join(names)} TEXT)",
        "INSERT INTO items (c0, c1499) VALUES ('first', 'last')",
    )

    frame = sqlite_source.bridge.read_page(
        Selection("items", ("id",), ("id", *names)), Window(), 10
    ).frame

    assert frame.select("c0", "c1", "c1499").rows() == [("first", None, "last")]


def test_only_the_rows_own_number_is_never_null(sqlite_source: SourceDatabase) -> None:
    # Given keys that SQLite declares alike, and of which one alone is the row's number
    sqlite_source.run(
        "CREATE TABLE own (id INTEGER PRIMARY KEY)",
        "CREATE TABLE items (id INTEGER PRIMARY KEY DESC)",
        "CREATE TABLE without (id INTEGER PRIMARY KEY) WITHOUT ROWID",
        "INSERT INTO items VALUES (2), (NULL), (1), (NULL)",
        "INSERT INTO own VALUES (1)",
    )
    bridge = sqlite_source.bridge

    assert [bridge.table(name).columns[0].nullable for name in ("own", "items", "without")] == [
        False,
        True,
        False,
    ]
    assert bridge.null_keys(ITEMS) == 2
    assert sqlite_source.walk(ITEMS, 1)[0]["id"].to_list() == [1, 2]
    assert bridge.count(ITEMS) == 2
    own = Selection("own", ("id",), ("id",))
    assert bridge.read_rows(own, ["x"]).malformed == {"x": "not an integer"}
