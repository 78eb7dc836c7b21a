"""Ids in any spelling name the row that the database itself takes for the same, and no other."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from semilayer_pipelines.bridges.naming import Naming
from semilayer_pipelines.bridges.protocol import NamedRows, Selection
from semilayer_pipelines.bridges.spellings import may_equal
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id",))
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
OTHER_UUID = "b1eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def items(source: SourceDatabase, declared: str, *keys: object) -> None:
    source.run(f"CREATE TABLE items (id {declared} NOT NULL PRIMARY KEY)")
    source.insert("items", [(key,) for key in keys])


def named(source: SourceDatabase, *ids: str) -> NamedRows:
    return source.bridge.name_rows(ITEMS, ids)


def test_an_integer_is_the_same_in_every_notation(source: SourceDatabase) -> None:
    items(source, "INTEGER", 7, 100)

    told = named(source, "007", "+7", "7.0", " 7 ", "1e2", "08", "abc", "7.5", "")

    assert told.rows == {"007": "7", "+7": "7", "7.0": "7", " 7 ": "7", "1e2": "100"}
    assert told.forms == {"08": "8"}
    assert told.malformed == dict.fromkeys(("abc", "7.5", ""), "not an integer")
    assert not source.bridge.is_loose(ITEMS)


@pytest.mark.parametrize(
    "spelled", ['[7,"en"]', '[ "7" , "en" ]', '["007","en"]', '[7.0,"\\u0065n"]']
)
def test_a_composite_key_is_read_with_blanks_numbers_and_escapes(
    source: SourceDatabase, spelled: str
) -> None:
    text = source.type("text")
    source.run(f"CREATE TABLE items (a INTEGER, b {text}, PRIMARY KEY (a, b))")
    source.insert("items", [(7, "en"), (8, "en")])
    selection = Selection("items", ("a", "b"), ("a", "b"))

    absent = spelled.replace("7", "9")
    told = source.bridge.name_rows(selection, [spelled, absent])

    assert told.rows == {spelled: '["7","en"]'}
    assert told.forms == {absent: '["9","en"]'}


def test_hundreds_of_spellings_are_told_apart_in_few_statements(source: SourceDatabase) -> None:
    items(source, "INTEGER", *range(0, 600, 2))
    ids = [f"0{n}" for n in range(600)] + ["x"]

    told = named(source, *ids)

    assert told.rows == {f"0{n}": str(n) for n in range(0, 600, 2)}
    assert told.forms == {f"0{n}": str(n) for n in range(1, 600, 2)}
    assert list(told.malformed) == ["x"]


IGNORED = {
    "sqlite": ("TEXT COLLATE NOCASE", ("apple", "APPLE"), "pear", ("Pear", "PEAR")),
    "postgres": ("citext", ("apple", "APPLE"), "pear", ("Pear", "PEAR")),
    "mariadb": (
        "VARCHAR(20) COLLATE utf8mb4_general_ci",
        ("apple", "ÁPPLE", "apple "),
        "pear",
        ("Pear", "péar", "PEAR "),
    ),
}


def test_a_key_that_ignores_case_names_its_row_and_what_an_index_has_of_it(
    source: SourceDatabase,
) -> None:
    declared, ids, gone, equal = IGNORED[source.kind]
    if source.kind == "postgres":
        source.run("CREATE EXTENSION IF NOT EXISTS citext")
    items(source, declared, "Apple", "Cherry")

    told = named(source, *ids, gone)

    assert told.rows == dict.fromkeys(ids, "Apple")
    assert told.forms == {gone: gone}
    assert source.bridge.is_loose(ITEMS)
    others = ["Apple", "peach", "pea", "spear", *(f"key {n}" for n in range(1_000))]
    assert set(source.bridge.same_keys(ITEMS, [gone], [*others, *equal])) == {
        (gone, key) for key in equal
    }


def test_a_key_whose_texts_are_all_different_is_not_loose(source: SourceDatabase) -> None:
    exact = "utf8mb4_0900_bin" if source.is_mysql else "utf8mb4_nopad_bin"
    declared = {"mariadb": f"VARCHAR(20) COLLATE {exact}"}.get(source.kind, "TEXT")
    items(source, declared, "Apple")

    told = named(source, "apple", "Apple ", "Apple")

    assert told.rows == {"Apple": "Apple"}
    assert told.forms == {"apple": "apple", "Apple ": "Apple "}
    assert not source.bridge.is_loose(ITEMS)


POSTGRES = [
    ("uuid", UUID, (UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}"), UUID),
    ("char(8)", "AB12", ("AB12    ", "AB12 "), "AB12"),
    ("numeric(10,2)", "2.5", ("2.5", "2.500", "25e-1", "+02.50"), "2.50"),
    ("numeric", "2.50", ("2.5", "2.5000"), "2.50"),
    ("numeric(10,2)", "NaN", ("NaN",), "NaN"),
    ("real", "0.1", ("0.10", "1e-1"), "0.1"),
    ("boolean", "t", ("t", "TRUE", "1", "yes"), "true"),
    ("date", "2024-05-01", ("2024-05-01T00:00:00.000Z", "20240501"), "2024-05-01"),
    ("date", "infinity", ("infinity",), "infinity"),
    (
        "timestamptz",
        "2024-05-01 10:00:00.5+00",
        ("2024-05-01T12:00:00.500+02:00", "2024-05-01 10:00:00.5", "2024-05-01T10:00:00.500Z"),
        "2024-05-01 10:00:00.500000+00:00",
    ),
    ("timestamp", "2024-05-01 10:00", ("2024-05-01T10:00:00Z",), "2024-05-01 10:00:00.000000"),
    ("bytea", "\\x00ff", ("\\x00FF", "0x00ff", "00FF"), "00ff"),
    ("inet", "::1", ("0::1", "::1"), "::1/128"),
]
MARIADB = [
    ("TINYINT(1)", 2, ("2", "02", "2.0"), "2"),
    ("TINYINT(1)", 1, ("true", "TRUE"), "1"),
    ("BIT(1)", 1, ("1", "True"), "true"),
    ("BIT(9)", 3, ("03", "3"), "3"),
    (
        "BINARY(16)",
        bytes.fromhex(UUID.replace("-", "")),
        (UUID, UUID.upper()),
        UUID.replace("-", ""),
    ),
    ("UUID", UUID, (UUID.upper(), UUID.replace("-", "")), UUID),
    ("DECIMAL(10,2)", "2.5", ("2.5", "2.500", "25e-1"), "2.50"),
    (
        "DATETIME(3)",
        "2024-05-01 10:00:00.5",
        ("2024-05-01T10:00:00.500Z",),
        "2024-05-01 10:00:00.500000",
    ),
    ("ENUM('Big','small')", "Big", ("BIG", "big"), "Big"),
    ("CHAR(8) COLLATE utf8mb4_general_ci", "AB12", ("ab12", "AB12  "), "AB12"),
    ("VARCHAR(20) COLLATE utf8mb4_bin", "AB12", ("AB12 ",), "AB12"),
]


@pytest.mark.parametrize(("declared", "key", "ids", "text"), POSTGRES)
def test_postgres_finds_a_key_in_other_spellings(
    postgres_source: SourceDatabase, declared: str, key: object, ids: Sequence[str], text: str
) -> None:
    items(postgres_source, declared, key)

    assert named(postgres_source, *ids) == NamedRows(dict.fromkeys(ids, text))

    # and for a row that is gone, what an index has of it is found as well
    postgres_source.run("DELETE FROM items")
    gone = named(postgres_source, *ids)
    assert gone.rows == {}
    forms = list(dict.fromkeys(gone.forms.values()))
    assert forms == [text] or (forms[0], text) in postgres_source.bridge.same_keys(
        ITEMS, forms, [text, "other"]
    )


@pytest.mark.parametrize(("declared", "key", "ids", "text"), MARIADB)
def test_mariadb_finds_a_key_in_other_spellings(
    mariadb_source: SourceDatabase, declared: str, key: object, ids: Sequence[str], text: str
) -> None:
    mariadb_source.skip_in_mysql(declared, "UUID")
    items(mariadb_source, declared, key)

    assert named(mariadb_source, *ids) == NamedRows(dict.fromkeys(ids, text))

    mariadb_source.run("DELETE FROM items")
    gone = named(mariadb_source, *ids)
    assert gone.rows == {}
    forms = list(dict.fromkeys(gone.forms.values()))
    assert forms == [text] or {(form, text) for form in forms} <= set(
        mariadb_source.bridge.same_keys(ITEMS, forms, [text, "other"])
    )


@pytest.mark.parametrize(
    ("kind", "declared", "key", "ids"),
    [
        ("postgres", "varchar(3)", "abc", ("abcdef",)),
        ("postgres", "numeric(10,2)", "2.56", ("2.555", "x", "1_0")),
        ("postgres", "timestamp", "2024-05-01 10:00", ("2024-05-01T10:00:00+02:00", "today")),
        ("postgres", "uuid", UUID, (OTHER_UUID, f"{UUID}0", "0x" + UUID[2:])),
        ("mariadb", "INTEGER", 0, ("abc", "0x", "false")),
        ("mariadb", "DECIMAL(10,2)", "0", ("NaN", "Infinity", "abc", "0.001")),
        ("mariadb", "DATE", "2024-05-01", ("2024-05-01T10:00:00", "2024-05-01 and more")),
        ("mariadb", "TIME", "00:00:00", ("abc",)),
        ("mariadb", "VARCHAR(20)", "7", ("7abc", "07", "7.0")),
        ("mariadb", "VARCHAR(20) CHARACTER SET latin1", "?", ("\U0001f389",)),
        ("sqlite", "", 7, ("007", "7.0")),
    ],
)
def test_an_id_never_names_another_row(
    request: pytest.FixtureRequest, kind: str, declared: str, key: object, ids: Sequence[str]
) -> None:
    """Rounded, cut short or read for as long as it makes sense, each of these would."""
    source = request.getfixturevalue(f"{kind}_source")
    items(source, declared, key)

    told = named(source, *ids)

    assert told.rows == {}
    assert told.forms.keys() | told.malformed.keys() == set(ids)


def test_a_collation_that_ignores_accents_is_asked_of_the_server(
    postgres_source: SourceDatabase,
) -> None:
    postgres_source.run(
        "CREATE COLLATION plain (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
    )
    items(postgres_source, "text COLLATE plain", "Äpfel", "Birne")

    assert named(postgres_source, "apfel", "ÄPFEL").rows == {"apfel": "Äpfel", "ÄPFEL": "Äpfel"}
    assert postgres_source.bridge.is_loose(ITEMS)
    keys = ["Café", "CAFE", "cafes", "Birne"]
    assert set(postgres_source.bridge.same_keys(ITEMS, ["cafe"], keys)) == {
        ("cafe", "Café"),
        ("cafe", "CAFE"),
    }


def test_of_two_rows_that_are_equal_an_id_names_the_one_that_is_spelled_so(
    mariadb_source: SourceDatabase,
) -> None:
    mariadb_source.run("CREATE TABLE items (id VARCHAR(20))")
    mariadb_source.insert("items", [("Apple",), ("apple",)])

    assert named(mariadb_source, "apple", "Apple").rows == {"apple": "apple", "Apple": "Apple"}


def test_few_keys_are_left_to_the_database_and_never_too_few() -> None:
    keys = pl.Series(
        ["Apple", "apple ", "ÄPPLE", "7", "007", "7.0", "8", "Ａpple", "pear", "日本7"]
    )

    assert may_equal(pl.Series(["APPLE"]), keys).to_list() == ["Apple", "apple ", "ÄPPLE", "Ａpple"]
    assert may_equal(pl.Series(["7"]), keys).to_list() == ["7", "007", "7.0", "日本7"]
    assert may_equal(pl.Series(["æ7"]), keys).to_list() == ["7", "007", "7.0", "日本7"]
    assert may_equal(pl.Series([], dtype=pl.String), keys).to_list() == []


def test_a_large_index_costs_few_questions(
    mariadb_source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    items(mariadb_source, "VARCHAR(40)", "Apple")
    keys = [f"Key {n}" for n in range(100_000)]
    asked: list[int] = []
    real = Naming._equal

    def counted(self: Naming, *given: object) -> object:
        asked.append(1)
        return real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Naming, "_equal", counted)

    pairs = mariadb_source.bridge.same_keys(ITEMS, [f"KEY {n}" for n in (5, 77_777)], keys)

    assert set(pairs) == {("KEY 5", "Key 5"), ("KEY 77777", "Key 77777")}
    assert len(asked) <= 2
