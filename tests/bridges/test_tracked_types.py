"""Tracked columns of one kind and several types: the database makes one type of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from semilayer_pipelines.bridges.protocol import Join, Selection
from tests.sources import SourceDatabase

HORIZON = datetime(2030, 1, 1, tzinfo=UTC)
ITEMS = Selection("items", ("id",), ("id",))
JOINED = Selection(
    "items",
    ("id",),
    ("id", "other.id"),
    joins=(Join("other", "others", (("other_id", "id"),), ("created",)),),
)
IN_POSTGRES = [
    ("timestamp", "timestamptz"),
    ("timestamptz", "timestamp(3)"),
    ("int2", "int8"),
    ("float4", "float8"),
    ("numeric(10, 2)", "float8"),
]
IN_MARIADB = [
    ("DATETIME(3)", "TIMESTAMP NULL"),
    ("TIMESTAMP(6) NULL", "DATETIME"),
    ("INT UNSIGNED", "BIGINT"),
    ("BIGINT", "BIGINT UNSIGNED"),
    ("DECIMAL(10, 2)", "DOUBLE"),
]


@pytest.mark.parametrize(("own", "other"), IN_POSTGRES)
def test_postgres_reads_them_in_one_order(
    postgres_source: SourceDatabase, own: str, other: str
) -> None:
    check(postgres_source, own, other)


@pytest.mark.parametrize(("own", "other"), IN_MARIADB)
def test_mariadb_reads_them_in_one_order(
    mariadb_source: SourceDatabase, own: str, other: str
) -> None:
    check(mariadb_source, own, other)


def check(source: SourceDatabase, own: str, other: str) -> None:
    """Walk by two columns of a table, and by one of it and one of a table that it joins."""
    one, two, three, four, five = (
        f"'2024-01-0{day} 00:00:00'" if "TIME" in own.upper() else str(day) for day in range(1, 6)
    )
    source.run(
        f"CREATE TABLE items (id INTEGER PRIMARY KEY, other_id INTEGER, updated {own}, "
        f"created {other})",
        f"CREATE TABLE others (id INTEGER PRIMARY KEY, created {other})",
        f"INSERT INTO items VALUES (1, 1, {one}, {five}), (2, 2, NULL, {three}), "
        f"(3, 9, {four}, NULL)",
        f"INSERT INTO others VALUES (1, {five}), (2, {two})",
    )
    for selection, tracked, order in (
        (ITEMS, ("updated", "created"), [1, 2, 3]),
        (JOINED, ("updated",), [2, 3, 1]),
    ):
        largest = source.bridge.high_water(selection, tracked, HORIZON)
        assert largest is not None
        found, cursor = list[int](), None
        while len(found) < 9:
            page = source.bridge.read_changed(selection, tracked, cursor, 1, horizon=HORIZON)
            found += page.frame["id"].to_list()
            cursor = page.cursor
            if cursor is None:
                break
        assert found == order
        since = source.bridge.read_changed(selection, tracked, None, 9, since=largest)
        assert since.frame["id"].to_list() == order[-1:]
