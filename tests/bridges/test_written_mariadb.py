"""What MariaDB and MySQL prove about rows that nobody has written to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pymysql
import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.bridges.protocol import Selection, Written
from semilayer_pipelines.bridges.sql import SqlBridge
from tests.patience import PATIENCE_SECONDS
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id", "v"), hashed=True)


def session(source: SourceDatabase) -> Any:
    url = make_url(source.url)
    connect: Any = pymysql.connect
    return connect(
        host=url.host or "",
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.database,
        autocommit=True,
    )


@pytest.fixture
def table(mariadb_source: SourceDatabase) -> SourceDatabase:
    mariadb_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v VARCHAR(20))")
    mariadb_source.insert("items", [(n, f"v{n}") for n in range(5)])
    return mariadb_source


def settled(source: SourceDatabase, selection: Selection = ITEMS) -> Written:
    """Wait until the last write is past, as its second is all that the server keeps."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = source.bridge.written(selection)
        assert found is not None
        if found.mark is not None:
            return found
        assert time.monotonic() < deadline, "the mark never comes"
        time.sleep(0.1)


def same(one: Written | None, other: Written) -> bool:
    return one is not None and one.place == other.place and None is not one.mark == other.mark


def test_a_table_is_proven_unchanged_until_somebody_writes_to_it(table: SourceDatabase) -> None:
    kept = settled(table)
    assert same(table.bridge.written(ITEMS), kept)
    assert same(table.another_bridge().unwritten(ITEMS, kept), kept)
    assert kept.since is None

    table.run("CREATE TABLE other (id INTEGER PRIMARY KEY)", "INSERT INTO other VALUES (1)")
    assert same(table.bridge.written(ITEMS), kept)

    table.run("UPDATE items SET v = 'new' WHERE id = 1")
    assert not same(table.bridge.written(ITEMS), kept)
    assert table.bridge.unwritten(ITEMS, kept) is None
    assert not same(settled(table), kept)


@pytest.mark.parametrize(
    "change",
    [
        "TRUNCATE items",
        "ALTER TABLE items ADD w INTEGER DEFAULT 7",
        "ALTER TABLE items MODIFY v VARCHAR(20) COLLATE utf8mb4_bin",
        "DROP TABLE items; CREATE TABLE items (id INTEGER PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE other LIKE items; RENAME TABLE items TO old, other TO items",
    ],
)
def test_what_changes_rows_without_writing_them_makes_it_another_place(
    table: SourceDatabase, change: str
) -> None:
    kept = table.bridge.written(ITEMS)
    assert kept is not None

    table.run(*change.split("; "))

    now = table.bridge.written(ITEMS)
    assert now is None or now.place != kept.place


def test_transactions_of_one_second_are_told_apart_by_those_that_are_open(
    table: SourceDatabase,
) -> None:
    """Several stories in one second, which is all that the server keeps of the last of each."""
    names = ["late", "prepared", "deep"]
    for name in names:
        table.run(
            f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v VARCHAR(20))",
            f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b')",
        )
    selections = {name: replace(ITEMS, table=name) for name in names}
    with session(table) as writer, session(table) as late, session(table) as prepared:
        run, run_late, run_prepared = (one.cursor().execute for one in (writer, late, prepared))
        # Given transactions that begin in the same second and commit at different times.
        for attempt in range(20):
            time.sleep(1.1 - time.time() % 1)  # the server's clock may be some milliseconds late
            second = int(time.time())
            run_late("START TRANSACTION")
            run_late("UPDATE late SET v = 'late' WHERE id = 1")
            run_late("UPDATE deep SET v = 'late' WHERE id = 1")
            run_prepared("XA START 'shop'")
            run_prepared("UPDATE prepared SET v = 'late' WHERE id = 1")
            for name in names:
                run(f"UPDATE {name} SET v = 'early {attempt}' WHERE id = 2")
            run_prepared("XA END 'shop'")
            if int(time.time()) == second:
                break
            run_late("ROLLBACK")
            run_prepared("XA ROLLBACK 'shop'")
        else:
            pytest.fail("this machine does in no second what the test needs")
        run_prepared("XA PREPARE 'shop'")
        time.sleep(2.5)

        still_open = {name: table.bridge.written(selections[name]) for name in names}
        run_late("COMMIT")
        run_prepared("XA COMMIT 'shop'")
        is_mariadb = "MariaDB" in writer.server_version

    # Then nothing that was told while they were open proves anything after their commits.
    for name in names:
        before, now = still_open[name], settled(table, selections[name])
        assert before is not None
        assert now.place == before.place
        assert not same(now, before)
        # It keeps when the last one had begun, which says nothing as long as one is open.
        assert not (is_mariadb and before.mark)


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW other AS SELECT * FROM items",
        "CREATE TABLE other (id INTEGER PRIMARY KEY, v VARCHAR(9)) ENGINE = MyISAM",
        "CREATE TABLE other (id INTEGER PRIMARY KEY, v VARCHAR(9)) PARTITION BY HASH (id)",
        "CREATE TABLE other (id INTEGER PRIMARY KEY, v INTEGER AS (id + 1) VIRTUAL)",
    ],
)
def test_what_the_server_keeps_no_time_of_proves_nothing(table: SourceDatabase, made: str) -> None:
    table.run(made)

    assert table.bridge.written(replace(ITEMS, table="other")) is None


@pytest.fixture
def guest(table: SourceDatabase) -> Iterator[str]:
    """URL of a user who may read and does not see the transactions of others."""
    url = make_url(table.url)
    name = f"guest_{(url.database or '')[-8:]}"
    hosts = ("localhost", "127.0.0.1", "%%")
    for host in hosts:
        table.run(
            f"CREATE USER {name}@'{host}' IDENTIFIED BY 's3cret'",
            f"GRANT SELECT ON {url.database}.* TO {name}@'{host}'",
        )
    yield url.set(username=name, password="s3cret").render_as_string(hide_password=False)
    for host in hosts:
        table.run(f"DROP USER {name}@'{host}'")


def test_who_may_not_see_open_transactions_proves_nothing(
    table: SourceDatabase, guest: str
) -> None:
    with closing(SqlBridge(guest, timeout_ms=60_000, name="shop")) as bridge:
        assert bridge.count(ITEMS) == 5
        assert bridge.written(ITEMS) is None
