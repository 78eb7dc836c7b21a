"""SQLite's own number of a row as the key of a table that has none."""

from __future__ import annotations

import pytest

from semilayer_pipelines.bridges.protocol import Selection, Window
from tests.sources import SourceDatabase

NOTES = Selection("notes", ("rowid",), ("rowid", "about"))


def notes(source: SourceDatabase, rows: int) -> None:
    source.run("CREATE TABLE notes (about TEXT, moved INTEGER)")
    source.insert("notes", [(f"note {n}", n) for n in range(1, rows + 1)])


def test_a_table_without_a_key_is_read_by_it(sqlite_source: SourceDatabase) -> None:
    notes(sqlite_source, 20)
    table = sqlite_source.bridge.table("notes")

    assert table.rowid is not None
    assert (table.rowid.name, table.rowid.kind, table.rowid.nullable) == ("rowid", "integer", False)
    assert [column.name for column in table.columns] == ["about", "moved"]
    rows, pages = sqlite_source.walk(NOTES, 6)
    assert rows["rowid"].to_list() == list(range(1, 21))
    assert pages == [6, 6, 6, 2]
    assert rows["about"][6] == "note 7"


def test_every_look_at_rows_takes_it_for_a_key(sqlite_source: SourceDatabase) -> None:
    notes(sqlite_source, 20)
    bridge = sqlite_source.bridge

    bounds = bridge.bounds(NOTES, 2)
    assert [bridge.count(NOTES, Window(upto=bounds[0])), bridge.count(NOTES)] == [10, 20]
    assert bridge.null_keys(NOTES) == 0
    found = bridge.read_rows(NOTES, ["3", "77", "x"])
    assert (found.frame["about"].to_list(), [*found.malformed]) == (["note 3"], ["x"])
    named = bridge.name_rows(NOTES, ["03", "077"])
    assert (named.rows, named.forms) == ({"03": "3"}, {"077": "77"})
    assert not bridge.is_loose(NOTES)
    assert bridge.same_keys(NOTES, ["07"], ["7", "8"]) == [("07", "7")]
    assert bridge.read_changed(NOTES, "moved", None, 100).frame["rowid"].to_list() == [
        *range(1, 21)
    ]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE other (rowid TEXT, about TEXT)",
        "CREATE TABLE other (RowId INTEGER, about TEXT)",
        "CREATE TABLE other (id INTEGER PRIMARY KEY, about TEXT)",
        "CREATE TABLE other (id TEXT PRIMARY KEY, about TEXT) WITHOUT ROWID",
        "CREATE VIEW other AS SELECT 1 AS id",
    ],
    ids=["column", "other case", "the key itself", "without", "view"],
)
def test_there_is_none_where_it_is_a_column_the_key_or_not_there(
    sqlite_source: SourceDatabase, made: str
) -> None:
    sqlite_source.run(made)

    assert sqlite_source.bridge.table("other").rowid is None


def test_a_table_with_a_text_as_its_key_has_one_too(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run("CREATE TABLE other (id TEXT PRIMARY KEY, about TEXT)")

    assert sqlite_source.bridge.table("other").rowid is not None


def test_servers_have_none(postgres_source: SourceDatabase, mariadb_source: SourceDatabase) -> None:
    for source in (postgres_source, mariadb_source):
        source.run("CREATE TABLE notes (about TEXT)")
        assert source.bridge.table("notes").rowid is None
