"""What PostgreSQL proves while others write: counters that come late, and writers that race."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import psycopg
import pytest

from semilayer_pipelines.bridges.protocol import KEY_HASH, Window, Written
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.bridges.sql import SqlBridge
from tests.bridges.own_postgres import OwnPostgres
from tests.bridges.own_table import ITEMS, OwnTable
from tests.patience import eventually


def test_late_counters_prove_a_table_on_a_server_that_is_busy_with_others(
    own_postgres: OwnPostgres,
) -> None:
    # Given two databases in which much goes on, and nothing in their tables `left`.
    tables = ["left", "quick", "prepared", "rolled", "held"]
    asked: list[tuple[str, str, Written]] = []
    busy = ["calm", "at_work"]
    for database in busy:
        own_postgres.run(f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}")
        made = [f'CREATE TABLE "{name}" (id INTEGER PRIMARY KEY, v TEXT)' for name in tables]
        own_postgres.run(*made, database=database)
    own_postgres.run(
        "CREATE PROCEDURE slowly() LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO held VALUES (1, 'committed'); COMMIT; "
        "LOOP PERFORM pg_sleep(0.1); COMMIT; END LOOP; END $$",
        database="at_work",
    )
    bridges = {
        name: SqlBridge(own_postgres.url(name), timeout_ms=60_000, name="shop") for name in busy
    }
    writer, second = own_postgres.connect("calm"), own_postgres.connect("calm")

    def call() -> None:
        with pytest.raises(psycopg.errors.AdminShutdown):
            own_postgres.run("CALL slowly()", database="at_work")

    calls = threading.Thread(target=call)
    try:
        second.execute("BEGIN; INSERT INTO prepared VALUES (1, 'x'); PREPARE TRANSACTION 'late'")
        for session in (writer, second):
            session.execute("SELECT pg_stat_force_next_flush()")
        calm = [("calm", name) for name in ("left", "quick", "prepared", "rolled")]
        for database, name in [*calm, ("at_work", "held"), ("at_work", "left")]:
            kept = bridges[database].written(replace(ITEMS, table=name))
            assert kept is not None
            asked.append((database, name, kept))

        # When sessions write that were counted just now, so that these writes are counted late.
        writer.execute("INSERT INTO quick VALUES (1, 'x')")
        writer.execute("BEGIN; INSERT INTO rolled VALUES (1, 'x'); ROLLBACK")
        second.execute("COMMIT PREPARED 'late'")
        calls.start()
        with own_postgres.connect("at_work") as watch:
            eventually(lambda: watch.execute("SELECT FROM held").rowcount)

        # Then they are waited for; a session that is at work all the time leaves it open.
        found: dict[tuple[str, str], Written | None] = {}

        def ask(database: str, name: str, kept: Written) -> None:
            with closing(
                SqlBridge(own_postgres.url(database), timeout_ms=60_000, name="shop")
            ) as own:
                found[database, name] = own.unwritten(replace(ITEMS, table=name), kept)

        asking = [threading.Thread(target=ask, args=one) for one in asked]
        for one in asking:
            one.start()
        for one in asking:
            one.join()
    finally:
        writer.close()
        second.close()
        for bridge in bridges.values():
            bridge.close()
        own_postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL %'"
        )
        calls.join()
    proven = [where for where, written in found.items() if written is not None]
    assert (len(found), proven) == (6, [("calm", "left")])
    now = found["calm", "left"]
    assert now is not None
    assert now.mark != asked[0][2].mark  # to be kept: from here on the server may be at rest


@pytest.mark.parametrize(
    "off",
    [
        "ALTER DATABASE shop SET track_counts = off",
        "ALTER ROLE postgres SET track_counts = off",
        "CREATE SUBSCRIPTION one CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false)",
    ],
)
def test_counters_that_may_not_count_prove_nothing_at_once(table: OwnTable, off: str) -> None:
    table.run(off)
    kept = table.written()
    table.run("CREATE TABLE other (id INTEGER)")

    assert table.bridge.unwritten(ITEMS, kept) is None
    table.run("ALTER ROLE postgres RESET ALL")
    if "SUBSCRIPTION" in off:
        table.run("ALTER SUBSCRIPTION one SET (slot_name = NONE)", "DROP SUBSCRIPTION one")


@dataclass
class Synced:
    """A copy of the table that is kept in step by proofs alone."""

    table: OwnTable
    rows: dict[str, str]
    hashes: dict[str, int]
    kept: Written

    @classmethod
    def walked(cls, table: OwnTable) -> Synced:
        kept = table.written()
        synced = cls(table, {}, {}, kept)
        synced._take(table.bridge.read_page(ITEMS, Window(), 10_000).frame)
        return synced

    def sync(self) -> str:
        """Take over what was written and removed; say how it was found out."""
        now = self.table.written()
        if (now.place, now.mark) == (self.kept.place, self.kept.mark):
            return "unchanged"
        assert now.place == self.kept.place
        self._take(self.table.since(self.kept, limit=50))
        ours = (
            pl.DataFrame(
                {"bucket": [h % 64 for h in self.hashes.values()], "h": self.hashes.values()}
            )
            .group_by("bucket")
            .agg(
                pl.len().cast(pl.Int64).alias("rows"),
                pl.col("h").sum().cast(pl.String).alias("sum"),
            )
        )
        assert now.since is not None
        theirs = self.table.bridge.buckets(ITEMS, 64)
        differ = ours.join(theirs, on=["bucket", "rows", "sum"], how="anti")["bucket"].to_list()
        there = {key for keys in self.table.bridge.read_keys(ITEMS, 64, differ) for key in keys}
        for key in [k for k, h in self.hashes.items() if h % 64 in differ and k not in there]:
            del self.rows[key], self.hashes[key]
        self.kept = now
        return "changed"

    def _take(self, frame: pl.DataFrame) -> None:
        keys = key_texts(frame, ITEMS.key).to_list()
        self.rows |= dict(zip(keys, frame["v"], strict=True))
        self.hashes |= dict(zip(keys, frame[KEY_HASH], strict=True))


def _random_writes(session: psycopg.Connection[Any], chance: random.Random, name: str) -> None:
    """Write in one transaction, some of it in vain, and end it in one of many ways."""
    session.execute("BEGIN")
    for number in range(chance.randint(1, 4)):
        key, v = chance.randint(1, 60), f"{name} {chance.random()}"
        session.execute("SAVEPOINT one")
        try:
            match chance.randint(0, 3):
                case 0:
                    session.execute("DELETE FROM items WHERE id = %s", (key,))
                case 1:
                    session.execute("UPDATE items SET v = %s WHERE id = %s", (v, key))
                case 2:
                    session.execute("SELECT * FROM items WHERE id = %s FOR UPDATE", (key,))
                case _:
                    upsert = "ON CONFLICT (id) DO UPDATE SET v = excluded.v"
                    session.execute(f"INSERT INTO items VALUES (%s, %s) {upsert}", (key, v))
        except psycopg.errors.LockNotAvailable:
            session.execute("ROLLBACK TO one")
        if chance.random() < 0.2:
            session.execute("ROLLBACK TO one")
        if number and chance.random() < 0.1:
            session.execute("RELEASE one")
    match chance.randint(0, 5):
        case 0:
            session.execute("ROLLBACK")
        case 1:
            session.execute(f"PREPARE TRANSACTION '{name}'")
            session.execute(f"{chance.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{name}'")
        case _:
            session.execute("COMMIT")


def test_a_copy_that_follows_proofs_alone_stays_equal_while_writers_race(table: OwnTable) -> None:
    ends = threading.Event()

    def write(name: str) -> None:
        chance = random.Random(name)
        with table.session() as session:
            session.execute("SET lock_timeout = '20ms'")
            while not ends.is_set():
                _random_writes(session, chance, name)

    synced = Synced.walked(table)
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, f"writer {n}") for n in range(3)]
        try:
            found = list[str]()
            while len(found) < 30 or found.count("changed") <= 5:
                found.append(synced.sync())
            table.run("VACUUM (FREEZE) items")
        finally:
            ends.set()
    for one in writers:
        one.result()

    # A session's counters come when its process ends, which is some time after it was closed.
    eventually(lambda: synced.sync() == "unchanged")
    assert synced.rows == {str(key): v for key, v in table.rows().items()}
