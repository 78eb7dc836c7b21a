"""What PostgreSQL's log tells, and what it does not, is told to the lenses that read its tables."""

from __future__ import annotations

import psycopg
import pytest

from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.bridges.sql import SqlBridge
from semilayer_pipelines.follow.feed import RowChange
from semilayer_pipelines.follow.logical import feed as feed_module
from semilayer_pipelines.http.contract import Action
from tests.follow.logs import NAME, Log

UPSERT, DELETE = Action.UPSERT, Action.DELETE
ITEMS = {"items": ("id",)}


def pairs(changes: list[RowChange]) -> list[tuple[Action, str | None]]:
    return [(change.action, change.row[0]) for change in changes]


def test_changes_come_in_the_order_of_commits_and_rolled_back_ones_never(log: Log) -> None:
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    with psycopg.connect(log.url) as early:
        early.execute("INSERT INTO items VALUES (1, 'early')")
        log.db.execute("INSERT INTO items VALUES (2, 'late')")
        early.commit()
        early.execute("DELETE FROM items")
        early.rollback()
    log.db.execute("UPDATE items SET name = 'x' WHERE id = 1")
    log.db.execute("DELETE FROM items WHERE id = 2")

    told = log.read(feed)

    assert pairs(told) == [(UPSERT, "2"), (UPSERT, "1"), (UPSERT, "1"), (DELETE, "2")]
    feed.close()


def test_a_changed_key_is_its_old_row_gone_and_a_new_one(log: Log) -> None:
    # Given keys that move, and one that another row takes in the same statement
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY DEFERRABLE, name text)")
    log.db.execute("ALTER TABLE items ADD CONSTRAINT for_all UNIQUE (id)")
    log.db.execute("ALTER TABLE items ALTER id SET NOT NULL")
    log.db.execute("ALTER TABLE items REPLICA IDENTITY FULL")
    log.db.execute("INSERT INTO items SELECT n, n FROM generate_series(1, 3) n")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.db.execute("ALTER TABLE items DROP CONSTRAINT for_all")

    log.db.execute("UPDATE items SET id = 9 WHERE id = 1")
    moved = log.read(feed)
    log.db.execute("UPDATE items SET id = id + 1")
    pushed_on = {change.row[0]: change.action for change in log.read(feed)}

    # Then the last word on each key is right, whatever the order of the rows
    assert pairs(moved) == [(DELETE, "1"), (UPSERT, "9")]
    assert pushed_on == {"2": DELETE, "3": UPSERT, "4": UPSERT, "9": DELETE, "10": UPSERT}
    feed.close()


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_a_key_is_told_whole_though_the_log_leaves_unchanged_long_values_out(
    log: Log, identity: str
) -> None:
    # Given a body and a key that are both kept outside of the row
    key = "".join(chr(33 + (n * 7919) % 90) for n in range(2_300))
    log.db.execute("CREATE TABLE items (body text, id text PRIMARY KEY, n int)")
    for column in ("body", "id"):
        log.db.execute(f"ALTER TABLE items ALTER {column} SET STORAGE EXTERNAL")
    log.db.execute(f"ALTER TABLE items REPLICA IDENTITY {identity}")
    log.db.execute("INSERT INTO items VALUES (repeat('long ', 20000), %s, 1)", (key,))
    log.install(ITEMS)
    feed = log.feed(ITEMS)

    log.db.execute("UPDATE items SET n = 2")

    assert pairs(log.read(feed)) == [(UPSERT, key)]
    assert log.missed() == {"items": "it was not followed before"}
    feed.close()


def test_a_row_that_leaves_a_filter_is_looked_up_and_not_deleted(log: Log) -> None:
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY, shown bool NOT NULL)")
    log.db.execute("ALTER TABLE items REPLICA IDENTITY FULL")
    log.db.execute("INSERT INTO items VALUES (1, true)")
    log.install(ITEMS)
    log.db.execute(f"ALTER PUBLICATION {NAME} SET TABLE marks, items WHERE (shown)")
    feed = log.feed(ITEMS)

    log.db.execute("UPDATE items SET shown = false")

    assert pairs(log.read(feed)) == [(UPSERT, "1")]
    [finding] = [f for f in log.setup(ITEMS).findings() if "leaves rows" in f.told]
    assert "public.items" in finding.told
    feed.close()


def test_one_truncate_of_several_tables_names_all_that_are_watched(log: Log) -> None:
    for table in ("items", "others", "unwatched"):
        log.db.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    both = {"items": ("id",), "public.others": ("id",)}
    log.install(both)
    feed = log.feed(both)
    log.read(feed)

    log.db.execute("TRUNCATE items, others, unwatched")
    log.read(feed)

    assert log.missed() == {name: "it was truncated" for name in both}
    feed.close()


def test_what_happens_to_a_partition_and_is_in_no_log_is_seen(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a partitioned table that is followed by its root
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.0)
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    log.db.execute("CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10)")
    log.db.execute("CREATE TABLE high PARTITION OF items FOR VALUES FROM (10) TO (20)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.db.execute("INSERT INTO items VALUES (1), (11)")
    assert pairs(log.read(feed)) == [(UPSERT, "1"), (UPSERT, "11")]
    log.read(feed)
    assert log.missed() == {}

    for statement in (
        "TRUNCATE low",
        "ALTER TABLE items DETACH PARTITION high",
        "CREATE TABLE higher PARTITION OF items FOR VALUES FROM (20) TO (30)",
        "DROP TABLE low",
    ):
        log.db.execute(statement)
        log.read(feed)
        assert "truncated, attached, detached" in log.missed()["items"], statement
    feed.close()

    # And one that happened while nobody followed
    log.db.execute("TRUNCATE higher")
    again = log.feed(ITEMS, log.position)
    log.read(again)
    assert "truncated" in log.missed()["items"]
    again.close()


def test_a_table_whose_old_rows_the_log_cannot_tell_is_not_installed(log: Log) -> None:
    log.db.execute("CREATE TABLE nothing (id int PRIMARY KEY)")
    log.db.execute("ALTER TABLE nothing REPLICA IDENTITY NOTHING")
    log.db.execute("CREATE TABLE keyless (id int NOT NULL UNIQUE)")
    log.db.execute("CREATE TABLE late (id int PRIMARY KEY DEFERRABLE)")
    log.db.execute(
        "CREATE TABLE parted (id int, PRIMARY KEY (id) DEFERRABLE) PARTITION BY HASH (id)"
    )
    log.db.execute("CREATE TABLE part PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    log.db.execute("CREATE TABLE by_sku (id int PRIMARY KEY, sku text NOT NULL UNIQUE)")
    log.db.execute("CREATE TABLE fine (id int PRIMARY KEY)")
    log.db.execute("CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY)")
    log.db.execute("CREATE VIEW seen AS SELECT id FROM fine")
    watched = {
        name: ("sku",) if name == "by_sku" else ("id",)
        for name in (
            *("nothing", "keyless", "late", "parted", "by_sku"),
            *("fine", "fleeting", "seen", "absent"),
        )
    }

    setup = log.setup(watched)
    stops = [finding.told for finding in setup.findings() if finding.stops]
    advice = [finding.told for finding in setup.findings() if not finding.stops]
    [publish, *_] = setup.to_install()
    setup.close()

    assert len(stops) == 5
    assert all("every UPDATE and DELETE of it would fail" in told for told in stops[:4])
    assert "does not have the key of the lens (sku)" in stops[4]
    for name in ("public.fleeting is not logged", "public.seen is no table", "no table absent"):
        assert any(name in told for told in advice)
    assert 'FOR TABLE "public"."fine" WITH' in publish


def test_a_partition_that_is_made_later_can_be_written_to(log: Log) -> None:
    # Given a partitioned table whose only partition tells whole rows, and has no key
    log.db.execute("CREATE TABLE items (id int NOT NULL) PARTITION BY RANGE (id)")
    log.db.execute("CREATE TABLE low PARTITION OF items FOR VALUES FROM (0) TO (10)")
    for table in ("items", "low"):
        log.db.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")

    setup = log.setup(ITEMS)
    [stop] = [finding for finding in setup.findings() if finding.stops]
    setup.close()
    log.install(ITEMS)
    log.db.execute("CREATE TABLE high PARTITION OF items FOR VALUES FROM (10) TO (20)")
    log.db.execute("INSERT INTO items VALUES (11)")
    log.db.execute("UPDATE items SET id = 12")

    assert "every UPDATE and DELETE of it would fail" in stop.told
    assert stop.cure == "Give it a primary key, or take `cdc: outbox`."


def test_a_table_that_others_inherit_from_is_not_installed(log: Log) -> None:
    # Given an heir that has no key of its own
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY, name text)")
    log.db.execute("CREATE TABLE heir (more text) INHERITS (items)")
    log.db.execute("INSERT INTO heir VALUES (1, 'one', 'more')")
    log.db.execute("CREATE TABLE others (id int PRIMARY KEY)")
    watched = {"items": ("id",), "others": ("id",)}

    setup = log.setup(watched)
    stops = [finding for finding in setup.findings() if finding.stops]
    statements = setup.to_install()
    setup.close()

    # Then it is left out, so the application goes on writing to the heir
    [stop] = stops
    assert "inherit from public.items" in stop.told
    assert "outbox" in stop.cure
    assert "items" not in "".join(statements)
    log.install(watched)
    log.db.execute("UPDATE heir SET name = 'two'")
    log.db.execute("DELETE FROM heir")


def test_a_table_that_loses_its_identity_while_it_is_followed_tells_no_wrong_key(log: Log) -> None:
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL UNIQUE)")
    log.db.execute("INSERT INTO items VALUES (1, 7)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)

    log.db.execute("ALTER TABLE items REPLICA IDENTITY USING INDEX items_n_key")
    log.db.execute("DELETE FROM items")

    assert log.read(feed) == []
    assert "REPLICA IDENTITY does not have the key" in log.missed()["items"]
    feed.close()


def test_a_reader_that_has_nothing_to_tell_keeps_its_connection(log: Log) -> None:
    # Given a server that ends a connection after some seconds of silence
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS, options="-c%20wal_sender_timeout%3D6s")
    log.read(feed)
    reader = log.db.execute("SELECT pid FROM pg_stat_replication").fetchall()
    answered = "SELECT reply_time FROM pg_stat_replication"
    before = log.db.execute(answered).fetchall()

    # When it asks whether its reader lives, halfway
    while log.db.execute(answered).fetchall() == before:
        feed.read(0.2)

    # Then it is answered, and what comes next is read from the same connection
    log.db.execute("INSERT INTO items VALUES (1)")

    assert pairs(log.read(feed)) == [(UPSERT, "1")]
    assert log.db.execute("SELECT pid FROM pg_stat_replication").fetchall() == reader
    feed.close()


def test_a_slot_that_is_gone_is_made_again_and_said(log: Log) -> None:
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)
    feed.close()
    log.server().drop_slot(NAME)
    log.db.execute("INSERT INTO items VALUES (1)")

    again = log.feed(ITEMS, log.position)
    log.db.execute("INSERT INTO items VALUES (2)")

    assert pairs(log.read(again)) == [(UPSERT, "2")]
    assert log.restarted() == ["The replication slot was gone."]
    again.close()


def test_a_slot_that_the_server_gave_up_is_let_go(log: Log) -> None:
    # Given a server that keeps next to no log for a slot
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)
    feed.close()
    log.db.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    log.db.execute("SELECT pg_reload_conf()")
    try:
        for _ in range(3):
            log.db.execute("INSERT INTO items SELECT coalesce(max(id), 0) + 1 FROM items")
            log.db.execute("SELECT pg_switch_wal()")
        log.db.execute("CHECKPOINT")
    finally:
        log.db.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
        log.db.execute("SELECT pg_reload_conf()")

    again = log.feed(ITEMS, log.position)
    log.read(again)

    assert "The server gave the replication slot up" in log.restarted()[0]
    again.close()


def test_a_slot_that_keeps_more_log_than_it_may_is_let_go_while_it_is_read(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a feed that may keep 200 kB, and is read
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.0)
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.db.execute("CREATE TABLE others (t text)")
    log.install(ITEMS)
    feed = log.feed(ITEMS, most=200_000)
    log.read(feed)
    assert log.restarted() == []

    # When nothing is confirmed, and a megabyte is written
    log.db.execute("INSERT INTO others SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
    log.db.execute("INSERT INTO items VALUES (7)")
    log.read(feed)

    # Then the server may forget it
    [why, *_] = log.restarted()
    assert "may keep 200 kB (maxSlotBytes)" in why
    [(kept,)] = log.db.execute(
        "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots"
    ).fetchall()
    assert kept < 200_000
    feed.close()


def test_a_slot_that_somebody_else_moved_on_starts_over(log: Log) -> None:
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)
    feed.close()
    log.db.execute("INSERT INTO items VALUES (1)")
    log.db.execute("SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())", (NAME,))

    again = log.feed(ITEMS, log.position)
    log.read(again)

    assert log.restarted() == ["The replication slot was moved on by somebody else."]
    again.close()


@pytest.mark.parametrize("read_on", [True, False])
def test_a_publication_that_was_made_again_starts_over(
    log: Log, monkeypatch: pytest.MonkeyPatch, read_on: bool
) -> None:
    # PostgreSQL 18 says nothing of what was written while there was none
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.0)
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)
    if not read_on:
        feed.close()
    log.db.execute(f"DROP PUBLICATION {NAME}")
    log.db.execute("INSERT INTO items VALUES (1)")
    log.install(ITEMS)

    again = feed if read_on else log.feed(ITEMS, log.position)
    log.read(again)

    assert log.restarted() == ["The publication was dropped and made again."]
    again.close()


@pytest.mark.parametrize("read_on", [True, False])
def test_a_table_that_was_taken_out_of_the_publication_and_put_back_is_missed(
    log: Log, monkeypatch: pytest.MonkeyPatch, read_on: bool
) -> None:
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.0)
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)
    if not read_on:
        feed.close()
    log.install({})
    log.db.execute("INSERT INTO items VALUES (1)")
    log.install(ITEMS)

    again = feed if read_on else log.feed(ITEMS, log.position)
    told = log.read(again)

    assert pairs(told) == []
    assert "published again" in log.missed()["items"]
    assert log.restarted() == []
    again.close()


def test_what_was_not_confirmed_comes_again_and_what_was_kept_does_not(log: Log) -> None:
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)
    kept = log.position
    before = log.confirmed()
    log.db.execute("INSERT INTO items VALUES (1)")
    assert pairs(log.read(feed)) == [(UPSERT, "1")]
    after = log.position
    feed.close()
    assert log.confirmed() == before

    again = log.feed(ITEMS, kept)
    assert pairs(log.read(again)) == [(UPSERT, "1")]
    again.close()
    at_the_end = log.feed(ITEMS, after)
    assert pairs(log.read(at_the_end)) == []
    at_the_end.confirm(log.position)
    at_the_end.close()


def test_a_large_transaction_is_several_batches_and_the_position_stays_before_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "BATCH", 100)
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install(ITEMS)
    feed = log.feed(ITEMS)
    log.read(feed)
    before = log.position

    log.db.execute("INSERT INTO items SELECT generate_series(1, 350)")
    told = log.read(feed)

    assert len(told) == 350
    within = [batch for batch in log.batches if len(batch.changes) == 100]
    assert len(within) == 3
    assert {batch.position for batch in within} == {before}
    assert log.position != before
    feed.close()


def test_a_table_that_is_published_later_may_have_been_missed(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.0)
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.install({})
    feed = log.feed(ITEMS)
    log.db.execute("INSERT INTO items VALUES (1)")
    assert log.read(feed) == []

    log.install(ITEMS)
    log.db.execute("INSERT INTO items VALUES (2)")

    assert pairs(log.read(feed)) == [(UPSERT, "2")]
    assert log.missed() == {"items": "it was not followed before"}
    feed.close()


def test_installing_again_changes_nothing_and_a_table_that_no_lens_reads_leaves(log: Log) -> None:
    for table in ("items", "others"):
        log.db.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    log.install({"items": ("id",), "others": ("id",)})

    same = log.setup({"items": ("id",), "others": ("id",), "marks": ("id",)})
    fewer = log.setup({"items": ("id",), "marks": ("id",)})

    assert same.to_install() == ()
    assert fewer.to_install() == (f'ALTER PUBLICATION "{NAME}" DROP TABLE "public"."others"',)
    same.close()
    fewer.close()


def test_a_role_without_rights_is_told_which_it_needs(log: Log) -> None:
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY)")
    log.db.execute("DROP ROLE IF EXISTS semilayer_reader")
    log.db.execute("CREATE ROLE semilayer_reader LOGIN")
    log.db.execute("GRANT SELECT ON items TO semilayer_reader")
    log.db.execute("GRANT USAGE ON SCHEMA public TO semilayer_reader")
    theirs = Log(log.url.replace("postgres@", "semilayer_reader@"), log.db)

    stops = [finding for finding in theirs.setup(ITEMS).findings() if finding.stops]

    assert [finding.told for finding in stops] == [
        "The role semilayer_reader may not replicate.",
        "The role semilayer_reader may not create in this database.",
        "Only the owner of public.items may publish it.",
    ]
    assert 'ALTER ROLE "semilayer_reader" REPLICATION' in stops[0].cure
    log.db.execute("DROP OWNED BY semilayer_reader")
    log.db.execute("DROP ROLE semilayer_reader")


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("bigint", "'-9223372036854775808'"),
        ("text", "'O''Brien \"x\" é🜚'"),
        ("char(5)", "'ab'"),
        ("varchar(9)", "'ab  '"),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"),
        ("numeric", "'1.50'"),
        ("numeric(10, 2)", "'7'"),
        ("boolean", "true"),
        ("timestamp", "'2024-02-03 04:05:06.7'"),
        ("timestamptz", "'2024-02-03 04:05:06+05'"),
        ("timestamptz", "'infinity'"),
        ("date", "'2024-02-03'"),
        ("date", "'4000-01-01 BC'"),
        ("time", "'04:05:06.5'"),
        ("interval", "'1 day 2 hours'"),
        ("bytea", r"'\x00ff10'"),
        ("inet", "'10.0.0.1'"),
        ("inet", "'10.0.0.0/8'"),
        ("inet", "'::1'"),
        ("cidr", "'10.0.0.0/8'"),
        ("macaddr", "'08:00:2b:01:02:03'"),
        ("float8", "0.1"),
        ("float8", "1e300"),
        ("float4", "19.99"),
        ("bit(5)", "B'10101'"),
        ("citext", "'Alice'"),
        ("mood", "'calm'"),
    ],
)
def test_a_key_is_spelled_as_the_index_spells_it(log: Log, declared: str, value: str) -> None:
    if declared == "citext":
        log.db.execute("CREATE EXTENSION IF NOT EXISTS citext")
    log.db.execute("CREATE TYPE mood AS ENUM ('calm', 'cross')")
    log.db.execute(f"CREATE TABLE items (a {declared}, b int, PRIMARY KEY (a, b))")
    watched = {"items": ("a", "b")}
    log.install(watched)
    feed = log.feed(watched)
    log.db.execute(f"INSERT INTO items VALUES ({value}, 7)")

    [change] = log.read(feed)

    bridge = SqlBridge(log.url, timeout_ms=20_000, name="shop")
    for key in (("a",), ("a", "b")):
        selection = Selection("items", key, key)
        walked = key_texts(bridge.read_page(selection, Window(), 10).frame, key).to_list()
        told = [part for part in change.row[: len(key)] if part is not None]
        assert bridge.spell(selection, [told]) == walked
    bridge.close()
    feed.close()
