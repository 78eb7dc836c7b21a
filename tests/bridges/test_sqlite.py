"""What is peculiar to SQLite: values are typed, columns are not; a source is a file."""

from __future__ import annotations

import polars as pl
import pytest

from semilayer_pipelines.bridges.cursors import encode
from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.bridges.unfit import unfit_name, with_unfit
from semilayer_pipelines.errors import SourceRefused
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id", "v"))


def _frame(source: SourceDatabase, declared: str, *values: str) -> pl.DataFrame:
    """Return the rows of a table with these SQL literals in a column `v` declared so."""
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, v {declared})")
    source.run(*(f"INSERT INTO items (v) VALUES ({value})" for value in values))
    return source.bridge.read_page(ITEMS, Window(), 100).frame


@pytest.mark.parametrize(
    ("declared", "values", "dtype", "expected"),
    [
        ("INTEGER", ["1", "NULL", "-9223372036854775808"], pl.Int64, [1, None, -(2**63)]),
        ("REAL", ["1", "1e300", "NULL"], pl.Float64, [1.0, 1e300, None]),
        ("DECIMAL(20,2)", ["1", "1.5", "NULL"], pl.Float64, [1.0, 1.5, None]),
        ("DECIMAL(20,2)", ["1e300", "1"], pl.Float64, [1e300, 1.0]),
        ("BOOLEAN", ["1", "0", "NULL"], pl.Int64, [1, 0, None]),
        ("BOOLEAN", ["1", "2"], pl.Int64, [1, 2]),
        ("TEXT", ["'a'", "5", "NULL", "''"], pl.String, ["a", "5", None, ""]),
        ("TEXT", ["'a'", "x'00ff'"], pl.String, ["a", "00ff"]),
        ("TEXT", ["'a'", "x'6162'"], pl.String, ["a", "6162"]),
        ("BLOB", ["x'00ff'", "NULL", "x''"], pl.Binary, [b"\x00\xff", None, b""]),
        ("DATETIME", ["'2024-01-01'", "5", "x'00'"], pl.String, ["2024-01-01", "5", "00"]),
        ("JSON", ["'{\"a\": 1}'", "NULL"], pl.String, ['{"a": 1}', None]),
        ("", ["'a'", "5", "NULL", "1.5"], pl.String, ["a", "5", None, "1.5"]),
        ("", ["9.9", "10.0", "0.1 + 0.2", "1e300"], pl.String, None),
    ],
)
def test_a_column_has_the_type_it_was_declared_with(
    sqlite_source: SourceDatabase,
    declared: str,
    values: list[str],
    dtype: pl.DataType,
    expected: list[object] | None,
) -> None:
    frame = _frame(sqlite_source, declared, *values)

    assert frame.columns == ["id", "v"]
    assert frame["v"].dtype == dtype
    # A real among values of no type is written with as many digits as it takes, and no more.
    shortest = ["9.9", "10", "0.30000000000000004", "1.0e+300"]
    assert frame["v"].to_list() == (shortest if expected is None else expected)


@pytest.mark.parametrize(
    ("declared", "values", "fit", "unfit"),
    [
        ("INTEGER", ["1", "NULL", "'x'", "2.5"], [1, None, None, None], [None, None, "x", "2.5"]),
        ("INTEGER", ["9007199254740993", "0.1"], [2**53 + 1, None], [None, "0.1"]),
        ("INTEGER", ["'x'", "NULL"], [None, None], ["x", None]),
        ("REAL", ["0.1", "'x'"], [0.1, None], [None, "x"]),
        ("DECIMAL(20,2)", ["9007199254740993", "1.5"], [None, 1.5], ["9007199254740993", None]),
        ("DECIMAL(20,2)", ["1e300", "'n/a'"], [1e300, None], [None, "n/a"]),
        ("BOOLEAN", ["1", "'yes'", "0.5"], [1, None, None], [None, "yes", "0.5"]),
        ("BLOB", ["x'00ff'", "'a'", "7"], [b"\x00\xff", None, None], [None, "a", "7"]),
        ("BLOB", ["'a'", "'b'"], [None, None], ["a", "b"]),
    ],
)
def test_a_value_that_does_not_fit_its_column_stands_beside_it_as_text(
    sqlite_source: SourceDatabase,
    declared: str,
    values: list[str],
    fit: list[object],
    unfit: list[str | None],
) -> None:
    frame = _frame(sqlite_source, declared, *values)

    assert frame["v"].to_list() == fit
    assert frame[unfit_name("v")].to_list() == unfit
    assert frame[unfit_name("v")].dtype == pl.String


def test_a_clash_late_in_a_big_page_changes_no_other_row(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v INTEGER)")
    sqlite_source.insert("items", [(n, n) for n in range(5_000)] + [(5_000, "late")])

    frame = sqlite_source.bridge.read_page(ITEMS, Window(), 10_000).frame

    assert frame["v"].to_list() == [*range(5_000), None]
    assert frame[unfit_name("v")].drop_nulls().to_list() == ["late"]


def test_numbers_among_the_texts_of_a_view_keep_their_digits(
    sqlite_source: SourceDatabase,
) -> None:
    sqlite_source.run(
        "CREATE TABLE named (id INTEGER PRIMARY KEY, name TEXT)",
        "CREATE TABLE priced (id INTEGER PRIMARY KEY, price REAL)",
        "INSERT INTO named VALUES (1, 'a')",
        "INSERT INTO priced VALUES (2, 0.123456789012)",
        "CREATE VIEW items AS SELECT id, name AS v FROM named UNION ALL SELECT * FROM priced",
    )

    frame = sqlite_source.bridge.read_page(ITEMS, Window(), 9).frame

    assert with_unfit(frame)["v"].to_list() == ["a", "0.123456789012"]


def test_text_that_is_not_utf8_is_shown_with_its_bytes(sqlite_source: SourceDatabase) -> None:
    got = _frame(sqlite_source, "TEXT", "CAST(x'61ff' AS TEXT)", "'b'")["v"]

    assert got.to_list() == ["a\\xff", "b"]


def test_a_key_that_is_not_utf8_is_refused(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run(
        "CREATE TABLE items (id TEXT PRIMARY KEY, v TEXT)",
        "INSERT INTO items VALUES (CAST(x'61ff' AS TEXT), 'v')",
    )

    with pytest.raises(SourceRefused, match="UTF-8"):
        sqlite_source.bridge.read_page(ITEMS, Window(), 1)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_keys_of_mixed_types_are_walked_once_each(
    sqlite_source: SourceDatabase, limit: int
) -> None:
    sqlite_source.run("CREATE TABLE items (id PRIMARY KEY, v TEXT)")
    keys = [10, 9, -1, 1.5, "9", "a", b"\x00\xff", 2**60]
    sqlite_source.insert("items", [(key, "v") for key in keys])

    frame, _ = sqlite_source.walk(ITEMS, limit)

    order = ["-1", "1.5", "9", "10", str(2**60), "9", "a", "00ff"]
    assert key_texts(frame, ["id"]).to_list() == order


def test_ids_find_keys_of_a_column_without_a_type(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run("CREATE TABLE items (id PRIMARY KEY, v TEXT)")
    sqlite_source.insert("items", [(7, "number"), ("abc", "text"), (b"\x00\xff", "bytes")])

    found = sqlite_source.bridge.read_rows(ITEMS, ["7", "abc", "00ff", "none"])

    assert sorted(found.frame["v"].to_list()) == ["bytes", "number", "text"]


def test_a_key_column_that_ignores_case_is_walked_in_its_own_order(
    sqlite_source: SourceDatabase,
) -> None:
    sqlite_source.run("CREATE TABLE items (id TEXT COLLATE NOCASE PRIMARY KEY, v TEXT)")
    sqlite_source.insert("items", [(key, "v") for key in ("b", "A", "C", "a2", "B2")])

    frame, _ = sqlite_source.walk(ITEMS, 1)

    assert frame["id"].to_list() == ["A", "a2", "b", "B2", "C"]
    assert sqlite_source.bridge.read_rows(ITEMS, ["a", "A"]).frame["id"].to_list() == ["A"]


def test_times_written_with_t_or_blank_are_both_seen(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)")
    rows = [
        (1, "2024-05-01T09:00:00.000Z"),
        (2, "2024-05-01T10:00:00.000Z"),
        (3, "2024-05-01 08:00:00"),
        (4, "2024-05-01 10:00:05"),
        (5, "2024-04-30T23:00:00.000Z"),
        (6, "2024-05-02 00:00:00"),
    ]
    sqlite_source.insert("items", rows)

    since = encode(["2024-05-01T09:59:30.000Z"])
    seen = sqlite_source.walk_changed(ITEMS, "v", 2, since)

    assert sorted(seen["id"].to_list()) == [2, 4, 6]


def test_the_walk_from_a_time_uses_the_index(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)", "CREATE INDEX tracked ON items (v)"
    )
    described = sqlite_source.bridge._catalogue.tracked(ITEMS, "v").value
    condition = sqlite_source.bridge._db.since(described, "2024-05-01T10:00:00Z")

    with sqlite_source.engine.connect() as connection:
        plan = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN SELECT * FROM items WHERE {condition.text} ORDER BY v, id LIMIT 9",
            condition.params,
        ).fetchall()

    assert "SEARCH items USING" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_an_integer_key_cannot_be_null_and_another_can(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run(
        "CREATE TABLE numbered (id INTEGER PRIMARY KEY)",
        "CREATE TABLE named (id TEXT PRIMARY KEY)",
        "INSERT INTO named VALUES (NULL), ('a')",
    )

    assert sqlite_source.bridge.table("numbered").columns[0].nullable is False
    assert sqlite_source.bridge.null_keys(Selection("named", ("id",), ("id",))) == 1


def test_generated_columns_are_columns(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, a INTEGER, v INTEGER AS (a * 2) VIRTUAL)",
        "INSERT INTO items (a) VALUES (21)",
    )

    assert sqlite_source.bridge.read_page(ITEMS, Window(), 1).frame["v"].to_list() == [42]
