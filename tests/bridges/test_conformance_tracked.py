"""Several tracked columns: the first that is set tells when a row changed."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from semilayer_pipelines.bridges.cursors import shown
from semilayer_pipelines.bridges.protocol import Selection, Untracked
from semilayer_pipelines.errors import SchemaMismatch
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id",))
BOTH = ("updated_at", "created_at")
HORIZON = datetime(2024, 6, 1, tzinfo=UTC)


def items(source: SourceDatabase, rows: list[tuple[str | None, str | None]]) -> None:
    moment = source.type("moment")
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, updated_at {moment}, created_at {moment})"
    )
    source.insert("items", [(n, *row) for n, row in enumerate(rows)])


def at(second: int) -> str:
    return f"2024-05-01 10:00:{second:02d}.000000"


def walked(source: SourceDatabase, limit: int, since: str | None = None) -> list[int]:
    found: list[int] = []
    cursor = None
    while True:
        page = source.bridge.read_changed(ITEMS, BOTH, cursor, limit, since=since)
        found += page.frame["id"].to_list()
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_rows_come_in_the_order_of_the_first_value_that_is_set(
    source: SourceDatabase, limit: int
) -> None:
    dice = random.Random(limit)
    rows = [
        (at(dice.randrange(60)) if dice.random() < 0.5 else None, at(dice.randrange(60)))
        for _ in range(40)
    ]
    items(source, [*rows, (None, None)])

    found = walked(source, limit)

    values = {n: updated or created for n, (updated, created) in enumerate(rows)}
    assert found == sorted(values, key=lambda n: (values[n], n))


def test_a_walk_from_a_value_reads_what_is_at_or_after_it(source: SourceDatabase) -> None:
    items(source, [(at(10), at(50)), (None, at(20)), (at(30), None), (None, at(5))])
    source.run("DELETE FROM items WHERE id = 2")
    since = source.bridge.high_water(ITEMS, BOTH)
    source.insert("items", [(2, at(30), None)])

    assert since is not None
    assert shown(since).startswith("2024-05-01 10:00:20")
    assert walked(source, 10, since) == [1, 2]


def test_the_largest_value_is_that_of_all_rows(source: SourceDatabase) -> None:
    items(source, [(at(10), at(50)), (None, at(20)), (at(30), None)])

    largest = source.bridge.high_water(ITEMS, BOTH, HORIZON)
    assert largest is not None
    assert shown(largest).startswith("2024-05-01 10:00:30")
    source.run("UPDATE items SET updated_at = NULL")
    largest = source.bridge.high_water(ITEMS, BOTH, HORIZON)
    assert largest is not None
    assert shown(largest).startswith("2024-05-01 10:00:50")
    source.run("UPDATE items SET created_at = NULL")
    assert source.bridge.high_water(ITEMS, BOTH, HORIZON) is None


def test_only_rows_without_any_value_are_untracked(source: SourceDatabase) -> None:
    later = "2025-01-01 00:00:00.000000"
    items(
        source,
        [(None, None), (None, at(1)), (at(1), None), (later, at(1)), (None, later), (at(2), later)],
    )

    assert source.bridge.untracked(ITEMS, BOTH, HORIZON) == Untracked(1, 2)
    assert source.bridge.untracked(ITEMS, "updated_at", HORIZON) == Untracked(3, 1)


def test_columns_without_an_order_are_refused_together_too(source: SourceDatabase) -> None:
    items(source, [(at(1), at(1))])

    with pytest.raises(SchemaMismatch, match="no column 'nope'"):
        source.bridge.read_changed(ITEMS, ("updated_at", "nope"), None, 1)


def test_a_walk_over_two_columns_uses_the_index_of_each(postgres_source: SourceDatabase) -> None:
    postgres_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, updated_at timestamp, created_at timestamp)",
        "INSERT INTO items SELECT n, CASE WHEN mod(n, 2) = 0 THEN timestamp '2024-01-01' + "
        "n * interval '1 min' END, timestamp '2024-01-01' + n * interval '1 min' "
        "FROM generate_series(1, 20000) n",
        "CREATE INDEX ON items (updated_at)",
        "CREATE INDEX ON items (created_at)",
        "ANALYZE items",
    )
    source = postgres_source
    since = source.bridge.high_water(ITEMS, BOTH)
    assert since is not None
    statements: list[str] = []
    read = source.bridge._db.read

    def told(query):  # type: ignore[no-untyped-def]
        statements.append(query.tail.text % tuple(f"'{p}'" for p in query.tail.params))
        return read(query)

    source.bridge._db.read = told  # type: ignore[method-assign]
    source.bridge.read_changed(ITEMS, BOTH, None, 100, since=since)

    with source.engine.connect() as connection:
        plan = connection.execute(text(f"EXPLAIN SELECT id {statements[-1]}".replace(":", "\\:")))
        assert "Seq Scan" not in "\n".join(row[0] for row in plan)
