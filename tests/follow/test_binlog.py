"""The log of MariaDB tells every change under the key of its row, once it can be seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from semilayer_pipelines.follow.binlog import events, stream
from semilayer_pipelines.follow.binlog import feed as feeds
from semilayer_pipelines.follow.feed import Batch
from tests.follow.binlogs import Binlog, begun
from tests.patience import PATIENCE_SECONDS, eventually
from tests.sources import SourceDatabase


@pytest.fixture
def log(logging_mariadb_source: SourceDatabase) -> Iterator[Binlog]:
    logging_mariadb_source.run("CREATE TABLE items (id INT PRIMARY KEY, version INT)")
    with begun(logging_mariadb_source) as found:
        yield found


def test_reading_begins_with_the_word_that_all_tables_may_have_changed(
    logging_mariadb_source: SourceDatabase,
) -> None:
    logging_mariadb_source.run("CREATE TABLE items (id INT PRIMARY KEY)")

    assert Binlog(logging_mariadb_source, {"items": ("id",)}).told() == (
        [],
        {"items": "reading begins"},
    )


def test_inserts_updates_and_deletes_are_told_in_order(log: Binlog) -> None:
    log.source.run(
        "INSERT INTO items VALUES (1, 1), (2, 2)",
        "UPDATE items SET version = 3 WHERE id = 1",
        "UPDATE items SET id = 9 WHERE id = 1",
        "REPLACE INTO items VALUES (2, 5)",
        "DELETE FROM items WHERE id = 2",
    )

    assert log.changes() == [
        ("upsert", "1"),
        ("upsert", "2"),
        ("upsert", "1"),
        ("delete", "1"),
        ("upsert", "9"),
        ("upsert", "2"),
        ("delete", "2"),
    ]


@pytest.mark.parametrize("ends", ["", "shown"])
def test_rows_of_a_table_with_a_history_are_told_by_their_key(
    logging_mariadb_source: SourceDatabase, ends: str
) -> None:
    # Given a server that logs a delete as the end of a row's time, and an update with its old row
    logging_mariadb_source.skip_in_mysql("SYSTEM VERSIONING", "SYSTEM VERSIONING")
    shown = (
        ", since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, until TIMESTAMP(6) GENERATED ALWAYS "
        "AS ROW END, PERIOD FOR SYSTEM_TIME (since, until)"
    )
    logging_mariadb_source.run(
        f"CREATE TABLE items (id INT PRIMARY KEY, version INT{shown if ends else ''}) "
        "WITH SYSTEM VERSIONING"
    )
    assert logging_mariadb_source.bridge.table("items").key == ("id",)
    with begun(logging_mariadb_source) as log:
        logging_mariadb_source.run(
            "INSERT INTO items (id, version) VALUES (1, 1), (2, 2)",
            "UPDATE items SET version = 3 WHERE id = 1",
            "DELETE FROM items WHERE id = 2",
        )

        changes = log.changes()

    # Then each row is looked at that was written, and nothing is told of another
    assert {key for _, key in changes} == {"1", "2"}
    assert [action for action, key in changes if key == "1"][-1] == "upsert"


def test_what_is_rolled_back_and_other_tables_are_not_told(log: Binlog) -> None:
    log.source.run("CREATE TABLE others (id INT PRIMARY KEY)")
    in_one_session(log, "START TRANSACTION", "INSERT INTO items VALUES (1, 1)", "ROLLBACK")
    log.source.run("INSERT INTO others VALUES (1)")

    assert log.changes() == []


def test_a_server_that_is_busy_with_other_tables_gives_few_positions_to_keep(log: Binlog) -> None:
    log.source.run("CREATE TABLE others (id INT PRIMARY KEY)")
    log.read()
    feed = log.feed()
    first = feed.read(0.3)  # what was last read is older than what may go unkept
    log.source.run(*(f"INSERT INTO others VALUES ({number})" for number in range(200)))
    log.source.run("INSERT INTO items VALUES (1, 1)")

    batches: list[Batch] = []
    while not any(batch.changes for batch in batches):
        batch = feed.read(PATIENCE_SECONDS)
        assert batch is not None
        batches.append(batch)
    feed.close()

    assert first is None
    assert len(batches) < 20
    log.position = batches[-1].position
    assert log.changes() == []


def test_a_feed_that_is_killed_reads_again_from_the_last_position_kept(log: Binlog) -> None:
    log.source.run("INSERT INTO items VALUES (1, 1)")
    killed = log.feed()
    assert killed.read(PATIENCE_SECONDS) is not None
    killed.close()

    assert log.changes() == [("upsert", "1")]
    assert log.changes() == []


def test_a_large_transaction_comes_in_batches_and_moves_the_position_at_its_end(
    log: Binlog,
) -> None:
    before = log.position
    log.source.insert("items", [(number, 0) for number in range(1, 12_001)])

    batches = log.read()

    told = [change.row[0] for batch in batches for change in batch.changes]
    assert told == [str(number) for number in range(1, 12_001)]
    assert len(batches) > 1
    assert {batch.position for batch in batches[:-1]} == {before}


def test_the_end_of_a_transaction_that_comes_alone_moves_the_position_though_nothing_follows(
    log: Binlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_CHANGES_A_PIECE", 1)
    monkeypatch.setattr(feeds, "_AT_ONCE", 1)
    before = log.position
    in_one_session(
        log,
        "START TRANSACTION",
        *(f"INSERT INTO items VALUES ({n}, 0)" for n in range(3)),
        "COMMIT",
    )

    batches = log.read()

    assert [len(batch.changes) for batch in batches] == [1, 1, 1, 0]
    assert [batch.position == before for batch in batches] == [True, True, True, False]


def test_what_changes_a_table_without_a_row_in_the_log_is_missed(
    logging_mariadb_source: SourceDatabase,
) -> None:
    statements = {
        "truncated": "TRUNCATE truncated",
        "tidied": "/* tidy */ truncate table tidied",
        "altered": "ALTER TABLE altered ADD COLUMN price INT DEFAULT 5",
        "replaced": "CREATE OR REPLACE TABLE replaced (id INT PRIMARY KEY, version INT)",
        "renamed": "RENAME TABLE renamed TO old",
        "dropped": "DROP TABLE dropped",
    }
    source = logging_mariadb_source
    if source.is_mysql:
        del statements["replaced"]
    source.run(*(f"CREATE TABLE {table} (id INT PRIMARY KEY)" for table in statements))
    with begun(source, dict.fromkeys(statements, ("id",))) as log:
        feed = log.feed()
        source.run(*statements.values())
        missed: dict[str, str] = {}
        while len(missed) < len(statements):
            batch = feed.read(PATIENCE_SECONDS)
            assert batch is not None
            missed |= batch.missed
        feed.close()

    said = {
        "truncated": "TRUNCATE was run",
        "tidied": "TRUNCATE was run",
        "altered": "ALTER was run",
        "replaced": "CREATE was run",
        "renamed": "RENAME was run",
        "dropped": "DROP was run",
    }
    assert missed == {table: said[table] for table in statements}


def test_what_leaves_the_rows_alone_is_not_missed(log: Binlog) -> None:
    log.source.run(
        "CREATE INDEX by_version ON items (version)",
        "CREATE VIEW seen AS SELECT * FROM items",
        "ANALYZE TABLE items",
        "CREATE TABLE items_of_others (id INT)",
        "DROP INDEX by_version ON items",
    )

    assert log.missed() == {}


def test_a_statement_that_a_session_logs_as_text_is_missed(log: Binlog) -> None:
    log.source.run("INSERT INTO items VALUES (1, 1)")
    log.read()
    with log.source.engine.connect() as session:
        session.exec_driver_sql("SET SESSION binlog_format = 'STATEMENT'")
        session.exec_driver_sql("UPDATE items SET version = 2")
        session.exec_driver_sql("SET SESSION binlog_format = 'ROW'")

    assert log.told() == ([], {"items": "UPDATE was run"})


def test_a_file_that_a_session_loads_by_a_statement_is_missed(log: Binlog) -> None:
    [(folder,)] = _rows(log, "SELECT COALESCE(NULLIF(@@secure_file_priv, ''), '/tmp')", 1)
    file = Path(str(folder)) / f"semilayer-{uuid4().hex}"
    log.source.run(f"SELECT 1, 2 INTO OUTFILE '{file}'")
    try:
        in_one_session(
            log,
            "SET SESSION binlog_format = 'STATEMENT'",
            f"LOAD DATA INFILE '{file}' INTO TABLE items",
            "SET SESSION binlog_format = 'ROW'",
        )
    finally:
        file.unlink()

    assert log.told() == ([], {"items": "LOAD was run"})


def test_each_row_is_told_of_files_of_the_log_with_checksums_and_without(
    logging_mariadb_source: SourceDatabase,
) -> None:
    # given rows that are shorter than a checksum, in a file that has none
    source = logging_mariadb_source
    source.run("CREATE TABLE items (id TINYINT PRIMARY KEY)", "SET GLOBAL binlog_checksum = 'NONE'")
    try:
        with begun(source) as log:
            source.run("INSERT INTO items VALUES (1), (2)", "DELETE FROM items WHERE id <= 2")

            # when the server makes them by the time that it is read
            source.run("SET GLOBAL binlog_checksum = 'CRC32'")
            source.run("INSERT INTO items VALUES (3), (4)", "TRUNCATE items")

            changes, missed = log.told()
    finally:
        source.run("SET GLOBAL binlog_checksum = DEFAULT")

    assert changes == [
        *(("upsert", "1"), ("upsert", "2"), ("delete", "1"), ("delete", "2")),
        *(("upsert", "3"), ("upsert", "4")),
    ]
    assert missed == {"items": "TRUNCATE was run"}


def test_columns_that_come_and_go_do_not_shift_keys(log: Binlog) -> None:
    log.source.run(
        "ALTER TABLE items ADD COLUMN front INT DEFAULT 77 FIRST",
        "INSERT INTO items (id, version) VALUES (5, 1)",
        "ALTER TABLE items DROP COLUMN front",
        "INSERT INTO items VALUES (6, 1)",
    )

    changes, missed = log.told()

    assert changes == [("upsert", "5"), ("upsert", "6")]
    assert missed == {"items": "ALTER was run"}


def test_a_table_that_the_reader_cannot_read_is_missed_and_the_others_are_followed(
    logging_mariadb_source: SourceDatabase,
) -> None:
    source = logging_mariadb_source
    declared = "VECTOR(3)" if source.is_mysql else "VARCHAR(2000) COMPRESSED"
    source.run(
        f"CREATE TABLE items (other {declared}, id DECIMAL(10,2) PRIMARY KEY)",
        "CREATE TABLE plain (id INT PRIMARY KEY)",
    )
    with begun(source, {"items": ("id",), "plain": ("id",)}) as log:
        assert [
            ("each change queues a smart sync" in told, stops) for told, stops in log.findings()
        ] == [(True, False)]
        source.run("INSERT INTO items VALUES (NULL, 1)", "INSERT INTO plain VALUES (2)")
        changes, missed = log.told()

    assert changes == [("upsert", "2")]
    assert list(missed) == ["items"]


def test_rows_that_a_foreign_key_changes_are_missed_and_nothing_else_of_their_parent(
    logging_mariadb_source: SourceDatabase,
) -> None:
    logging_mariadb_source.run(
        "CREATE TABLE makers (id INT PRIMARY KEY)",
        "CREATE TABLE items (id INT PRIMARY KEY, maker INT, "
        "FOREIGN KEY (maker) REFERENCES makers (id) ON DELETE CASCADE)",
        "INSERT INTO makers VALUES (1), (2)",
    )
    with begun(logging_mariadb_source) as log:
        logging_mariadb_source.run("INSERT INTO items VALUES (10, 1), (11, 2)")
        assert log.changes() == [("upsert", "10"), ("upsert", "11")]

        logging_mariadb_source.run("DELETE FROM makers WHERE id = 1")
        changes, missed = log.told()

        if logging_mariadb_source.is_mysql:  # 9.6 and newer write such rows to the log
            assert changes == [("delete", "10")]
        else:
            assert changes == []
            assert "foreign key" in missed["items"]


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_prepared_transaction_is_missed_when_it_ends(log: Binlog, end: str) -> None:
    in_one_session(
        log,
        "XA START 'a'",
        "INSERT INTO items VALUES (1, 1)",
        "XA END 'a'",
        "XA PREPARE 'a'",
        f"XA {end} 'a'",
    )

    assert log.missed() == {"items": "a prepared transaction ended"}


TEMPORARY = ("CREATE TEMPORARY TABLE aside (n int)", "DROP TEMPORARY TABLE aside")


@pytest.mark.parametrize(
    "between",
    [
        ("START TRANSACTION", "DELETE FROM items", *TEMPORARY, "ROLLBACK"),
        ("START TRANSACTION", "DELETE FROM items", "INSERT INTO plain VALUES (1)", "ROLLBACK"),
        (
            *("START TRANSACTION", "SAVEPOINT a", "DELETE FROM items", *TEMPORARY),
            *("ROLLBACK TO a", "INSERT INTO items VALUES (2, 2)", "COMMIT"),
        ),
    ],
    ids=["temporary table", "table without transactions", "savepoint"],
)
def test_a_delete_that_is_rolled_back_is_looked_at_and_deletes_nothing(
    log: Binlog, between: tuple[str, ...]
) -> None:
    # given a transaction that the log has, because a part of it cannot be taken back
    log.source.skip_in_mysql(" ".join(between), "INTO plain")  # with GTIDs it refuses that
    log.source.run("CREATE TABLE plain (n int) ENGINE = MyISAM", "INSERT INTO items VALUES (1, 1)")
    log.read()

    in_one_session(log, *between)

    changes, _ = log.told()
    assert ("delete", "1") not in changes
    # MySQL has nothing of it in its log, but what came after
    assert [key for _, key in changes][:1] in ([], ["1"], ["2"])


def test_rows_of_two_tables_of_a_statement_are_told_though_few_descriptions_are_kept(
    log: Binlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a statement of which the log describes both tables before the rows
    monkeypatch.setattr(events, "_MOST_TABLES", 1)
    log.source.run(
        "CREATE TABLE others (id INT PRIMARY KEY, version INT)",
        "INSERT INTO others VALUES (1, 1)",
        "INSERT INTO items VALUES (1, 1)",
    )
    log.read()

    log.source.run("UPDATE items, others SET items.version = 2, others.version = 2")

    assert log.changes() == [("upsert", "1")]


def test_a_table_that_is_made_with_its_rows_moves_the_position_behind_them(
    log: Binlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given rows that follow the statement in one transaction
    log.source.skip_in_mysql("CREATE OR REPLACE TABLE", "REPLACE")
    monkeypatch.setattr(feeds, "_AT_ONCE", 1)
    log.source.run("CREATE TABLE old (id INT)", "INSERT INTO old VALUES (1), (2)")
    log.read()

    log.source.run("CREATE OR REPLACE TABLE items (PRIMARY KEY (id)) SELECT id FROM old")

    assert log.told() == ([("upsert", "1"), ("upsert", "2")], {"items": "CREATE was run"})


def in_one_session(log: Binlog, *statements: str) -> None:
    with log.source.engine.connect() as session:
        for statement in statements:
            session.exec_driver_sql(statement)


def test_a_change_is_told_when_others_can_see_it(log: Binlog) -> None:
    """MariaDB sends a transaction before it can be seen: a look at once may find the old row."""
    rounds = 300
    log.source.run("INSERT INTO items VALUES (1, 0)")
    log.read()
    feed = log.feed()

    def write() -> None:
        with log.source.engine.connect() as session:
            for number in range(1, rounds + 1):
                session.exec_driver_sql(f"UPDATE items SET version = {number}")

    writer = threading.Thread(target=write)
    seen, told = [0], 0
    with log.source.engine.connect() as reader:
        writer.start()
        while told < rounds:
            batch = feed.read(PATIENCE_SECONDS)
            assert batch is not None
            told += len(batch.changes)
            [(version,)] = reader.exec_driver_sql("SELECT version FROM items").fetchall()
            seen.append(version)
            assert version >= told
    writer.join()
    feed.close()


def test_a_purged_log_starts_over(log: Binlog) -> None:
    log.source.run("INSERT INTO items VALUES (1, 1)", "FLUSH BINARY LOGS")
    log.source.run("INSERT INTO items VALUES (2, 1)", "FLUSH BINARY LOGS")
    *_, (last,) = _rows(log, "SHOW BINARY LOGS", 1)

    def is_purged() -> bool:
        # What a reader that has just left had open is kept for a moment.
        log.source.run(f"PURGE BINARY LOGS TO '{last}'")
        return len(_rows(log, "SHOW BINARY LOGS", 1)) == 1

    eventually(is_purged)

    feed = log.feed()
    batch = feed.read(PATIENCE_SECONDS)
    assert batch is not None
    assert batch.restarted is not None
    assert batch.changes == ()
    log.position = batch.position
    feed.close()

    log.source.run("INSERT INTO items VALUES (3, 1)")
    assert log.changes() == [("upsert", "3")]


def test_a_server_that_goes_away_is_unreachable_and_reading_goes_on(log: Binlog) -> None:
    feed = log.feed()
    reading: list[object] = []

    def is_reading() -> bool:
        assert feed.read(0.05) is None
        shown = _rows(log, "SHOW PROCESSLIST", 5, 0, 4)
        reading[:] = [number for number, command in shown if "Binlog Dump" in str(command)]
        return bool(reading)

    eventually(is_reading)
    for number in reading:
        log.source.run(f"KILL {number}")

    with pytest.raises(SourceUnreachable):
        feed.read(PATIENCE_SECONDS)
    feed.close()

    log.source.run("INSERT INTO items VALUES (1, 1)")
    assert log.changes() == [("upsert", "1")]


def test_a_log_without_the_names_of_its_columns_is_refused_and_its_rows_are_missed(
    log: Binlog,
) -> None:
    log.source.run("SET GLOBAL binlog_row_metadata = 'MINIMAL'")
    try:
        log.source.run("INSERT INTO items VALUES (1, 1)")

        [(said, stops)] = log.findings()
        with pytest.raises(SourceRefused, match="binlog_row_metadata is MINIMAL"):
            log.feed()
    finally:
        log.source.run("SET GLOBAL binlog_row_metadata = 'FULL'")
    assert stops
    assert "unsigned keys would be read as negative ones" in said
    log.source.run("INSERT INTO items VALUES (2, 1)")
    # what was written meanwhile names no column, and is never told under a wrong key
    changes, missed = log.told()
    assert changes == [("upsert", "2")]
    assert list(missed) == ["items"]


def test_a_user_with_the_right_to_read_the_log_and_the_tables_is_enough(log: Binlog) -> None:
    url = make_url(log.source.url)
    log.source.run(
        "DROP USER IF EXISTS follower",
        "CREATE USER follower IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON {url.database}.* TO follower",
    )
    try:
        plain = Binlog(log.source, log.watched, position=log.position)
        plain.url = url.set(username="follower", password="secret").render_as_string(
            hide_password=False
        )
        assert [stops for _, stops in plain.findings()] == [True]
        assert "may not read the log" in plain.findings()[0][0]

        log.source.run("GRANT REPLICATION SLAVE ON *.* TO follower")
        log.source.run("INSERT INTO items VALUES (1, 1)")
        assert plain.findings() == []
        feed = plain.feed()
        batch = feed.read(PATIENCE_SECONDS)
        feed.close()
        assert batch is not None
        assert [change.row for change in batch.changes] == [("1",)]
    finally:
        log.source.run("DROP USER follower")


@pytest.mark.parametrize(
    ("declared", "watched", "words", "stops"),
    [
        ("id INT PRIMARY KEY", {"nothing": ("id",)}, "'nothing' is not there", True),
        ("id INT PRIMARY KEY", {"items": ("sku",)}, "no column 'sku'", True),
        ("id INT PRIMARY KEY, sku INT UNIQUE", {"items": ("sku",)}, "row_image = MINIMAL", True),
        ("id SET('a','b') PRIMARY KEY", {"items": ("id",)}, "is set('a','b')", True),
        ("id TIME(2) PRIMARY KEY", {"items": ("id",)}, "is time(2)", True),
        ("id INET6 PRIMARY KEY", {"items": ("id",)}, "is inet6", True),
        ("id CHAR(4) CHARACTER SET ucs2 PRIMARY KEY", {"items": ("id",)}, "set ucs2", True),
        ("id DECIMAL(6,2) ZEROFILL PRIMARY KEY", {"items": ("id",)}, "zerofill", True),
    ],
)
def test_a_key_that_the_log_does_not_tell_is_refused(
    logging_mariadb_source: SourceDatabase,
    declared: str,
    watched: dict[str, tuple[str, ...]],
    words: str,
    stops: bool,
) -> None:
    logging_mariadb_source.skip_in_mysql(declared, "INET6")
    logging_mariadb_source.run(f"CREATE TABLE items ({declared})")

    [(said, stopped)] = Binlog(logging_mariadb_source, watched).findings()

    assert words in said
    assert stopped is stops


def _rows(log: Binlog, statement: str, width: int, *places: int) -> list[tuple[object, ...]]:
    with log.source.engine.connect() as session:
        rows = session.exec_driver_sql(statement).fetchall()
    return [tuple(row[place] for place in places or range(width)) for row in rows]
