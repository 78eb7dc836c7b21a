"""What every SQL source keeps to about names, and about being a guest."""

from __future__ import annotations

import pytest

from semilayer_pipelines.bridges.database import Sql
from semilayer_pipelines.bridges.protocol import SHARD_COLUMN, Selection, Window
from semilayer_pipelines.errors import SchemaMismatch, SemilayerError
from tests.sources import SourceDatabase


def test_an_unknown_table_is_named_with_its_nearest_neighbour(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")

    with pytest.raises(SchemaMismatch, match=r"'itemz'.*did you mean 'items'"):
        source.bridge.table("itemz")


def test_tables_and_views_are_listed(source: SourceDatabase) -> None:
    source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY)", "CREATE VIEW live AS SELECT id FROM items"
    )

    assert source.bridge.tables() == ["items", "live"]


def test_an_unknown_column_is_named_with_its_nearest_neighbour(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, title TEXT)")

    with pytest.raises(SchemaMismatch, match=r"'titel'.*did you mean 'title'"):
        source.bridge.read_page(Selection("items", ("id",), ("id", "titel")), Window(), 1)


def test_a_column_that_went_away_is_an_error_that_says_so(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, title TEXT, note TEXT)")
    selection = Selection("items", ("id",), ("id", "title"))
    source.bridge.read_page(selection, Window(), 1)

    source.run("ALTER TABLE items DROP COLUMN title")

    with pytest.raises(SchemaMismatch, match="title"):
        source.bridge.read_page(selection, Window(), 1)


def test_a_table_without_a_key_is_an_error_that_asks_for_one(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER, title TEXT)")

    assert source.bridge.table("items").key == ()
    with pytest.raises(SchemaMismatch, match="primaryKey"):
        source.bridge.read_page(Selection("items", (), ("title",)), Window(), 1)


def test_the_key_is_described_in_key_order(source: SourceDatabase) -> None:
    text = source.type("text")
    source.run(f"CREATE TABLE items (b {text}, n INTEGER NOT NULL, a INTEGER, PRIMARY KEY (a, b))")

    table = source.bridge.table("items")

    assert table.key == ("a", "b")
    assert [(c.name, c.kind) for c in table.columns] == [
        ("b", "text"),
        ("n", "integer"),
        ("a", "integer"),
    ]
    assert table.columns[1].nullable is False


def test_a_view_is_read_by_the_key_that_is_named(source: SourceDatabase) -> None:
    source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, deleted INTEGER)",
        "CREATE VIEW live AS SELECT id, deleted FROM items WHERE deleted = 0",
    )
    source.insert("items", [(n, n % 2) for n in range(6)])

    frame, _ = source.walk(Selection("live", ("id",), ("id",)), 2)

    assert frame["id"].to_list() == [0, 2, 4]


def test_names_may_be_anything(source: SourceDatabase) -> None:
    table, columns = 'Order "of% x.y', ["select", "Sp ace", "pct%s", "dot.ted", "UPPER", "qu`o:te"]
    if source.kind == "mariadb":
        table = table.replace('"', "'")
    quoted = '"' + table.replace('"', '""').replace("%", _percent(source)) + '"'
    declared = ", ".join(f'"{c.replace("%", _percent(source))}" INTEGER' for c in columns)
    source.run(f'CREATE TABLE {quoted} ({declared}, PRIMARY KEY ("select"))')
    source.insert(quoted, [(n, 1, 2, 3, 4, 5) for n in range(3)])

    selection = Selection(table, ("select",), tuple(columns))

    assert source.bridge.table(table).key == ("select",)
    assert source.bridge.count(selection) == 3
    assert source.walk(selection, 2)[0].rows() == [(n, 1, 2, 3, 4, 5) for n in range(3)]
    assert source.walk_changed(selection, "pct%s", 2).height == 3
    assert source.bridge.read_rows(selection, ["1"]).frame.height == 1


def _percent(source: SourceDatabase) -> str:
    return "%" if source.kind == "sqlite" else "%%"


def test_a_table_may_be_named_with_its_schema(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    source.insert("items", [(1,)])
    schema = {
        "sqlite": "main",
        "postgres": "public",
        "mariadb": str(source.engine.url.database),
    }[source.kind]

    frame, _ = source.walk(Selection(f"{schema}.items", ("id",), ("id",)), 5)

    assert frame["id"].to_list() == [1]
    assert source.bridge.table(f"{schema}.items").key == ("id",)


def test_the_bridge_cannot_write(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")

    for statement in ("INSERT INTO items VALUES (1)", "DROP TABLE items"):
        with pytest.raises(SemilayerError, match=r"(?i)read.?only"):
            source.bridge._db.scalars(Sql(statement))

    assert source.bridge.count(Selection("items", ("id",), ("id",))) == 0


def test_a_closed_bridge_opens_again_when_it_is_used(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    source.insert("items", [(1,)])
    selection = Selection("items", ("id",), ("id",))
    assert source.bridge.count(selection) == 1

    source.bridge.close()

    assert source.bridge.count(selection) == 1


def test_no_transaction_is_left_open_between_pages(source: SourceDatabase) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    selection = Selection("items", ("id",), ("id",))
    assert source.bridge.count(selection) == 0

    source.insert("items", [(1,)])

    # A snapshot would not see the row, a lock would keep the table from being dropped.
    assert source.bridge.count(selection) == 1
    source.run("DROP TABLE items")


@pytest.mark.parametrize("name", ["nowhere.items", "items.", ".items", "a.b.c", "", "it'ems"])
def test_a_name_that_leads_nowhere_is_an_error_that_lists_what_there_is(
    source: SourceDatabase, name: str
) -> None:
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY)")

    with pytest.raises(SchemaMismatch, match="There are: items"):
        source.bridge.table(name)


def test_a_column_named_like_the_shard_number_is_refused(source: SourceDatabase) -> None:
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, {SHARD_COLUMN} INTEGER)")

    with pytest.raises(SchemaMismatch, match="view"):
        source.bridge.read_rows(Selection("items", ("id",), ("id", SHARD_COLUMN)), ["1"])
