"""Which tables may be published, so that their log tells all and nobody's writes fail."""

from __future__ import annotations

from semilayer_pipelines.http.contract import Action
from tests.follow.logs import Log

UPSERT, DELETE = Action.UPSERT, Action.DELETE
ITEMS = {"items": ("id",)}


def test_a_partition_and_the_whole_of_it_are_not_followed_together(log: Log) -> None:
    # Given a table in two levels of partitions, of which the innermost is followed
    log.db.execute("CREATE TABLE items (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    log.db.execute(
        "CREATE TABLE few PARTITION OF items FOR VALUES FROM (0) TO (9) PARTITION BY RANGE (id)"
    )
    log.db.execute("CREATE TABLE fewer PARTITION OF few FOR VALUES FROM (0) TO (5)")
    alone = log.setup({"fewer": ("id",)})
    assert [finding for finding in alone.findings() if finding.stops] == []
    alone.close()
    log.install({"fewer": ("id",)})

    # When a lens over the whole comes
    both = log.setup({"fewer": ("id",), "items": ("id",)})
    stops = [finding for finding in both.findings() if finding.stops]
    both.close()

    # Then it is said that the log would tell of the whole alone
    [told] = stops
    assert told.told.startswith("public.fewer is a partition of public.items, which a lens reads")
    assert "cdc: outbox" in told.cure


def test_generated_columns_in_a_key_are_told_or_refused_and_keep_nobody_from_writing(
    log: Log,
) -> None:
    # Given a key that the server makes itself, which its log tells from PostgreSQL 18 on
    log.db.execute(
        "CREATE TABLE items (n int, id int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY)"
    )
    log.db.execute("CREATE TABLE whole (id int, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    log.db.execute("ALTER TABLE whole REPLICA IDENTITY FULL")
    setup = log.setup(ITEMS)
    stops = [finding.told for finding in setup.findings() if finding.stops]
    setup.close()
    if log.db.info.server_version < 180_000:
        [told] = stops
        assert told.endswith("and the key of the lens has one (id).")
        log.install({"whole": ("id",)})
    else:
        assert stops == []
        log.install({**ITEMS, "whole": ("id",)})
    feed = log.feed({**ITEMS, "whole": ("id",)})
    log.read(feed)

    # When rows are written by an application that knows nothing of it
    for statement in ("INSERT INTO {} VALUES (1)", "UPDATE {} SET {} = 2", "DELETE FROM {}"):
        log.db.execute(statement.format("items", "n"))
        log.db.execute(statement.format("whole", "id"))
    told_rows = log.read(feed)
    feed.close()

    # Then it can, and what the log tells is followed
    whole = [(change.action, change.row[0]) for change in told_rows if change.table == "whole"]
    assert whole == [(UPSERT, "1"), (DELETE, "1"), (UPSERT, "2"), (DELETE, "2")]
    if log.db.info.server_version >= 180_000:
        made = [(change.action, change.row[0]) for change in told_rows if change.table == "items"]
        assert made == [(UPSERT, "2"), (DELETE, "2"), (UPSERT, "4"), (DELETE, "4")]


def test_a_table_whose_updates_would_fail_for_a_virtual_column_is_not_published(log: Log) -> None:
    # Given a table as PostgreSQL 18 has it, or as its catalogue would tell it
    is_18 = log.db.info.server_version >= 180_000
    kind = "VIRTUAL" if is_18 else "STORED"
    log.db.execute(f"CREATE TABLE items (id int, v int GENERATED ALWAYS AS (id * 2) {kind})")
    log.db.execute("ALTER TABLE items REPLICA IDENTITY FULL")
    if not is_18:
        log.db.execute("UPDATE pg_attribute SET attgenerated = 'v' WHERE attgenerated = 's'")
    setup = log.setup(ITEMS)

    [finding] = [one for one in setup.findings() if one.stops]

    assert "has virtual columns and REPLICA IDENTITY FULL" in finding.told
    assert '"items"' not in " ".join(setup.to_install())
    setup.close()
