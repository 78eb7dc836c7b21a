"""What PostgreSQL proves about rows that nobody has written to: too little rather than too much."""

from __future__ import annotations

import subprocess
from contextlib import closing
from dataclasses import replace

import pytest

from semilayer_pipelines.bridges.protocol import KeySums, Window
from semilayer_pipelines.bridges.sql import SqlBridge
from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.errors import TableAltered
from tests.bridges.own_table import ITEMS, OwnTable


def test_a_table_that_nobody_writes_to_is_proven_unchanged(table: OwnTable) -> None:
    kept = table.written()

    with table.session() as reader:
        reader.execute("SELECT count(*) FROM items")
        reader.execute("SELECT sum(id) FROM items")

    assert table.unchanged(kept)
    assert table.bridge.unwritten(ITEMS, kept) is not None
    assert table.changed(kept) == []


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        ("INSERT INTO items VALUES (60, 'new')", [60]),
        ("UPDATE items SET v = 'new' WHERE id IN (3, 4)", [3, 4]),
        ("UPDATE items SET id = 70 WHERE id = 7", [70]),
        ("DELETE FROM items WHERE id = 9", []),
        ("INSERT INTO items VALUES (5, 'x') ON CONFLICT (id) DO UPDATE SET v = 'both'", [5]),
        ("COPY items FROM PROGRAM 'echo 80,copied' (FORMAT csv)", [80]),
        ("WITH gone AS (DELETE FROM items WHERE id = 9 RETURNING v) SELECT count(*) FROM gone", []),
        ("DO $$ BEGIN BEGIN UPDATE items SET v = 'sub' WHERE id = 8; END; END $$", [8]),
    ],
)
def test_every_way_to_write_is_noticed_and_its_rows_are_found(
    table: OwnTable, write: str, rows: list[int]
) -> None:
    kept = table.written()

    table.run(write)

    assert not table.unchanged(kept)
    assert table.bridge.unwritten(ITEMS, kept) is None
    assert table.changed(kept) == rows
    again = table.written()
    assert table.unchanged(again)
    assert table.changed(again) == []


@pytest.mark.parametrize(
    "change",
    [
        "TRUNCATE items",
        "VACUUM FULL items",
        "CLUSTER items USING items_pkey",
        "ALTER TABLE items ALTER v TYPE varchar(9)",
        "ALTER TABLE items ADD w text DEFAULT 'there at once'",
        "ALTER TABLE items RENAME v TO w; ALTER TABLE items RENAME w TO v",
        "ALTER TABLE items ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE items SET UNLOGGED",
        "ALTER TABLE items RENAME TO other; ALTER TABLE other RENAME TO items",
        "CREATE TABLE late () INHERITS (items)",
        "DROP TABLE items; CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)",
        "CREATE TYPE mood AS ENUM ('good'); ALTER TYPE mood RENAME VALUE 'good' TO 'bad'",
    ],
)
def test_what_may_change_rows_without_writing_them_ends_every_proof(
    table: OwnTable, change: str
) -> None:
    kept = table.written()

    table.run(*change.split("; "))

    assert not table.unchanged(kept)
    assert table.bridge.unwritten(ITEMS, kept) is None


@pytest.mark.parametrize(
    "reset",
    ["pg_stat_reset()", "pg_stat_reset_single_table_counters('items'::regclass)"],
)
def test_counters_that_somebody_reset_are_no_mark_any_more(table: OwnTable, reset: str) -> None:
    kept = table.written()

    table.run(f"SELECT {reset}")

    # Nobody wrote anything on this server, which its snapshots prove without the counters.
    assert table.bridge.unwritten(ITEMS, kept) is not None
    assert not table.unchanged(kept)


def test_a_user_to_whom_the_catalogue_is_closed_proves_nothing_and_reads_all_the_same(
    table: OwnTable,
) -> None:
    kept = table.written()
    table.run(
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON items TO reader",
        "REVOKE SELECT ON pg_db_role_setting FROM PUBLIC",
    )
    url = table.server.url("shop").replace("postgres@", "reader@")
    try:
        with closing(SqlBridge(url, timeout_ms=60_000, name="shop")) as bridge:
            assert bridge.written(ITEMS) is None
            assert bridge.unwritten(ITEMS, kept) is None
            assert bridge.count(ITEMS) == 50
    finally:
        table.run(
            "GRANT SELECT ON pg_db_role_setting TO PUBLIC",
            "DROP OWNED BY reader",
            "DROP ROLE reader",
        )


def test_a_user_who_may_read_some_columns_alone_knows_of_the_whole_table_only(
    table: OwnTable,
) -> None:
    table.run("CREATE ROLE reader LOGIN", "GRANT SELECT (id, v) ON items TO reader")
    url = table.server.url("shop").replace("postgres@", "reader@")
    try:
        with closing(SqlBridge(url, timeout_ms=60_000, name="shop")) as bridge:
            kept = bridge.written(ITEMS)
            assert kept is not None
            assert (kept.since, bridge.unwritten(ITEMS, kept) is None) == (None, False)
            table.run("INSERT INTO items VALUES (60, 'new')")
            assert bridge.unwritten(ITEMS, kept, patient=False) is None

            # What was told with the right to the table is not asked about without it.
            table.run("GRANT SELECT ON items TO reader")
            with_right = bridge.written(ITEMS)
            assert with_right is not None
            assert with_right.since is not None
            assert with_right.place != kept.place
    finally:
        table.run("DROP OWNED BY reader", "DROP ROLE reader")


def test_rows_of_another_place_are_not_read(table: OwnTable) -> None:
    kept = table.written()
    table.run("INSERT INTO items VALUES (60, 'new')", "TRUNCATE items")

    with pytest.raises(TableAltered, match="'items' was altered"):
        table.since(kept)


_ELSEWHERE = (
    "CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw"
)


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW other AS SELECT * FROM items",
        "CREATE MATERIALIZED VIEW other AS SELECT * FROM items",
        "CREATE TABLE other (id INTEGER PRIMARY KEY, v REGCLASS)",
        "CREATE DOMAIN named AS regrole[]; CREATE TABLE other (id INTEGER PRIMARY KEY, v named)",
        f"{_ELSEWHERE}; CREATE FOREIGN TABLE other (id INTEGER, v TEXT) SERVER elsewhere",
        (
            f"{_ELSEWHERE}; CREATE TABLE other (id INTEGER, v TEXT) PARTITION BY RANGE (id); "
            "CREATE FOREIGN TABLE part PARTITION OF other DEFAULT SERVER elsewhere"
        ),
    ],
)
def test_what_has_no_rows_of_its_own_proves_nothing(table: OwnTable, made: str) -> None:
    table.run(*made.split("; "))

    assert table.bridge.written(replace(ITEMS, table="other")) is None


def test_rows_that_a_policy_may_hide_prove_nothing(table: OwnTable) -> None:
    table.run(
        "DROP ROLE IF EXISTS guest",
        "CREATE ROLE guest LOGIN",
        "GRANT SELECT ON items TO guest",
    )
    url = table.server.url("shop").replace("postgres@", "guest@")
    with closing(SqlBridge(url, timeout_ms=60_000, name="shop")) as guest:
        assert guest.written(ITEMS) is not None
        table.run("ALTER TABLE items ENABLE ROW LEVEL SECURITY")

        assert guest.written(ITEMS) is None
        assert table.bridge.written(ITEMS) is not None
    table.run("DROP OWNED BY guest", "DROP ROLE guest")


def test_a_transaction_that_commits_late_is_found_however_it_wrote(table: OwnTable) -> None:
    with table.session() as late, table.session() as nested, table.session() as prepared:
        late.execute("BEGIN; UPDATE items SET v = 'late' WHERE id = 1")
        nested.execute("BEGIN; INSERT INTO items VALUES (60, 'early'); SAVEPOINT one")
        nested.execute("UPDATE items SET v = 'nested' WHERE id = 2")
        prepared.execute("BEGIN; UPDATE items SET v = 'two phases' WHERE id = 3")
        prepared.execute("PREPARE TRANSACTION 'shop'")
        table.run("UPDATE items SET v = 'before' WHERE id = 4")
        kept = table.written()
        assert table.changed(kept) == [4]  # written after the oldest that was open: read again

        late.execute("COMMIT")
        nested.execute("RELEASE one")
        nested.execute("UPDATE items SET v = 'nested' WHERE id = 5")
        assert not table.unchanged(kept)
        nested.execute("COMMIT")
        prepared.execute("COMMIT PREPARED 'shop'")

    assert table.changed(kept) == [1, 2, 3, 4, 5, 60]


def test_a_prepared_transaction_alone_ends_the_proof_when_it_is_committed(table: OwnTable) -> None:
    with table.session() as session:
        session.execute("BEGIN; DELETE FROM items WHERE id = 3; PREPARE TRANSACTION 'shop'")
        kept = table.written()
        assert table.unchanged(kept)

        session.execute("COMMIT PREPARED 'shop'")

    assert not table.unchanged(kept)


def test_rows_that_are_only_locked_were_not_written(table: OwnTable) -> None:
    with table.session() as one, table.session() as other:
        kept = table.written()
        for session in (one, other):
            session.execute("BEGIN; SELECT * FROM items WHERE id < 9 FOR KEY SHARE")
        one.execute("SELECT * FROM items WHERE id < 5 FOR NO KEY UPDATE")
        assert table.changed(kept) == []

        one.execute("UPDATE items SET v = 'new' WHERE id = 2")
        one.execute("COMMIT")
        assert table.changed(kept) == [2]


def test_frozen_rows_keep_the_number_of_who_wrote_them(table: OwnTable) -> None:
    kept = table.written()
    with table.session() as session:
        session.execute("BEGIN; CREATE TABLE copied (LIKE items)")
        session.execute("COPY copied FROM PROGRAM 'seq -f %g,frozen 60 62' (FORMAT csv, FREEZE)")
        session.execute("COMMIT")
    table.run("UPDATE items SET v = 'new' WHERE id = 1", "VACUUM (FREEZE) items")

    assert table.changed(kept) == [1]
    copied = replace(ITEMS, table="copied")
    moment = table.written(copied)
    since = f"{(kept.since or '').partition('|')[0]}|{(moment.since or '').partition('|')[2]}"
    assert table.since(replace(moment, since=since), copied)["id"].to_list() == [60, 61, 62]


def test_partitions_are_one_table_until_one_comes_or_goes(table: OwnTable) -> None:
    table.run(
        "CREATE TABLE parts (v TEXT, id INTEGER PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE high (id INTEGER PRIMARY KEY, dropped INTEGER, v TEXT)",
        "ALTER TABLE high DROP dropped",
        "INSERT INTO high VALUES (10, 'ten'), (11, 'eleven')",
        "ALTER TABLE parts ATTACH PARTITION high FOR VALUES FROM (10) TO (20)",
        "INSERT INTO parts SELECT 'v', n FROM generate_series(0, 5) n",
    )
    parts = replace(ITEMS, table="parts")
    kept = table.written(parts)
    table.run(
        "UPDATE parts SET v = 'new' WHERE id IN (3, 11)", "UPDATE parts SET id = 12 WHERE id = 1"
    )
    assert sorted(table.since(kept, parts)["id"].to_list()) == [3, 11, 12]

    table.run("TRUNCATE low")
    truncated = table.written(parts)
    assert truncated.place != kept.place
    table.run("ALTER TABLE parts DETACH PARTITION high")
    detached = table.written(parts)
    assert detached.place != truncated.place
    table.run("ALTER TABLE parts ATTACH PARTITION high FOR VALUES FROM (10) TO (20)")
    assert table.written(parts).place not in (detached.place, truncated.place)


def test_old_and_frozen_rows_pass_for_new_ones_at_no_time(table: OwnTable) -> None:
    # Rows of the first transactions, frozen; three quarters of all numbers later.
    table.server.move_on(0x60000000)
    table.server.move_on(0xC0000000 - 2**20)
    table.bridge.close()
    with table.session() as session:
        kept = table.written()
        session.execute("INSERT INTO items VALUES (60, 'new')")
        assert table.changed(kept) == [60]

    table.server.move_on(0xC0000000 - 40)
    table.bridge.close()
    kept = table.written()
    with table.session() as session:
        for _ in range(60):
            session.execute("SELECT pg_current_xact_id()")

    # Numbers are compared within 2^30 only.
    assert table.written().place != kept.place


@pytest.mark.parametrize("how", ["fast", "immediate", "crash"])
def test_nothing_is_proven_across_a_restart(table: OwnTable, how: str) -> None:
    table.run("UPDATE items SET v = 'counted' WHERE id < 9")
    kept = table.written()

    if how == "crash":
        table.server.crash_a_session()
    else:
        table.server.stop(how)
        table.server.start()

    table.bridge.close()
    assert table.written().place != kept.place
    assert table.bridge.unwritten(ITEMS, kept) is None


def test_a_restored_dump_is_another_table(table: OwnTable) -> None:
    kept = table.written()
    at = ("-h", "127.0.0.1", "-p", str(table.server.port), "-U", "postgres", "-d", "shop")

    dump = table.server.call("pg_dump", *at, "-t", "items", "--clean")
    subprocess.run([table.server.bin / "psql", "-q", *at], input=dump, text=True, check=True)

    assert len(table.rows()) == 50
    assert table.written().place != kept.place


def test_a_standby_proves_nothing_until_it_is_promoted(table: OwnTable) -> None:
    kept = table.written()
    server = table.server
    standby = replace(server, home=server.home / "standby", port=free_port())
    address = f"host=127.0.0.1 port={server.port} user=postgres"
    copying = ("-R", "-X", "stream", "-c", "fast")
    server.call("pg_basebackup", "-d", address, "-D", standby.data, *copying)
    standby.start()
    try:
        with closing(SqlBridge(standby.url("shop"), timeout_ms=60_000, name="shop")) as bridge:
            assert bridge.count(ITEMS) == 50
            assert bridge.written(ITEMS) is None
            standby.call("pg_ctl", "-D", standby.data, "-w", "promote")
            promoted = bridge.written(ITEMS)
        assert promoted is not None
        assert promoted.place != kept.place
    finally:
        standby.stop("immediate")


def test_rows_that_the_condition_leaves_out_are_told(table: OwnTable) -> None:
    selection = replace(ITEMS, where="v <> 'hidden%'")
    kept = table.written(selection)
    table.run(
        "UPDATE items SET v = 'hidden%' WHERE id = 3", "UPDATE items SET v = 'x' WHERE id = 4"
    )
    assert kept.since is not None

    page = table.bridge.read_written(selection, kept.since, Window(), 9)

    assert (page.frame["id"].to_list(), page.outside) == ([4], ("3",))
    assert table.bridge.buckets(selection, 4)["rows"].sum() == 49
    sums = table.bridge.key_sums(selection, kept.since)
    assert (sums.rows, sums.written) == (49, 1)


def test_the_sums_of_an_empty_table_are_nothing(table: OwnTable) -> None:
    table.run("DELETE FROM items")
    kept = table.written()
    assert kept.since is not None

    assert table.bridge.key_sums(ITEMS, kept.since) == KeySums(0, 0, 0)
    assert table.bridge.buckets(ITEMS, 4).is_empty()


def test_one_scan_finds_the_rows_of_all_pages_and_of_each_window(table: OwnTable) -> None:
    kept = table.written()
    table.run("UPDATE items SET v = 'new' WHERE id % 2 = 0")
    assert kept.since is not None
    first = table.bridge.read_written(ITEMS, kept.since, Window(), 10)
    table.run("UPDATE items SET v = 'again' WHERE id = 1", "DELETE FROM items WHERE id = 22")

    second = table.bridge.read_written(ITEMS, kept.since, Window(first.cursor), 10)
    assert second.frame["id"].to_list() == [24, 26, 28, 30, 32, 34, 36, 38, 40]

    with closing(SqlBridge(table.server.url("shop"), timeout_ms=60_000, name="shop")) as other:
        window = Window(first.cursor, second.cursor)
        rest = other.read_written(ITEMS, kept.since, window, 99)
    assert rest.frame["id"].to_list() == second.frame["id"].to_list()
    assert rest.cursor is None
