"""What a SQLite file proves about rows that nobody has written to."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from semilayer_pipelines.bridges.protocol import Selection, Window, Written
from semilayer_pipelines.bridges.written_sqlite import file_mark
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id", "v"), hashed=True)
MODES = ["DELETE", "TRUNCATE", "PERSIST", "WAL"]


def file_of(source: SourceDatabase) -> str:
    return source.url.removeprefix("sqlite:///")


def elsewhere(source: SourceDatabase, script: str) -> subprocess.CompletedProcess[str]:
    """Run statements in a process of their own: in this one, two libraries share their locks."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0); "
        "c.executescript(sys.argv[2]); c.close()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, file_of(source), script],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(params=MODES)
def table(sqlite_source: SourceDatabase, request: pytest.FixtureRequest) -> SourceDatabase:
    """A file with a table of 50 rows."""
    done = elsewhere(
        sqlite_source,
        f"PRAGMA journal_mode = {request.param};"
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
        "INSERT INTO items SELECT i, 'v' || i FROM n;",
    )
    assert done.returncode == 0, done.stderr
    return sqlite_source


def written(source: SourceDatabase) -> Written:
    found = source.bridge.written(ITEMS)
    assert found is not None
    return found


def same(one: Written, other: Written) -> bool:
    return one.place == other.place and None is not one.mark == other.mark


def test_a_file_that_nobody_writes_to_is_proven_unchanged(table: SourceDatabase) -> None:
    assert table.bridge.count(ITEMS) == 50
    kept = written(table)

    assert table.another_bridge().count(ITEMS) == 50

    assert same(written(table), kept)
    assert table.bridge.unwritten(ITEMS, kept) == kept
    assert kept.since is None  # so nobody asks which rows were written
    assert table.bridge.read_page(ITEMS, Window(), 1).frame.columns == ["id", "v"]


@pytest.mark.parametrize(
    "write",
    [
        "INSERT INTO items VALUES (60, 'new')",
        "UPDATE items SET v = 'w' || id WHERE id = 3",
        "DELETE FROM items WHERE id = 9",
        "DELETE FROM items",
        "BEGIN; UPDATE items SET v = 'x'; ROLLBACK; UPDATE items SET v = 'y' WHERE id = 1",
        "ALTER TABLE items ADD w TEXT DEFAULT 'there at once'",
        "CREATE TABLE other (id INTEGER)",
    ],
)
def test_every_write_to_the_file_is_noticed(table: SourceDatabase, write: str) -> None:
    with _held_open(table):
        kept = written(table)

        assert elsewhere(table, write).returncode == 0

        assert not same(written(table), kept)
        assert table.bridge.unwritten(ITEMS, kept) is None


def _held_open(source: SourceDatabase) -> closing[sqlite3.Connection]:
    """Hold the file open as an application does, so that a log is not taken away."""
    connection = sqlite3.connect(file_of(source))
    connection.execute("SELECT count(*) FROM items").fetchall()
    return closing(connection)


def test_a_file_that_was_replaced_or_put_back_is_another(
    table: SourceDatabase, tmp_path: Path
) -> None:
    kept = written(table)
    shutil.copy2(file_of(table), tmp_path / "copy.db")
    assert elsewhere(table, "UPDATE items SET v = 'gone again'").returncode == 0

    shutil.copy2(tmp_path / "copy.db", file_of(table))

    assert not same(written(table), kept)


def test_a_change_that_may_be_taken_back_proves_nothing(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)")
    # Small enough a cache that the file itself is written to before the commit.
    script = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('PRAGMA cache_size = 2'); c.execute('BEGIN EXCLUSIVE'); "
        "[c.execute('INSERT INTO items (v) VALUES (zeroblob(9000))') for _ in range(9)]; "
        "print('written', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, file_of(sqlite_source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        found = file_mark(file_of(sqlite_source))
        writer.kill()

    assert found is None
    assert file_mark(file_of(sqlite_source)) is None  # as the journal of the dead is still there


def test_a_view_and_a_virtual_table_prove_nothing(table: SourceDatabase) -> None:
    made = (
        "CREATE VIEW seen AS SELECT id, date('now') AS v FROM items;"
        "CREATE VIRTUAL TABLE found USING fts5(v);"
    )
    assert elsewhere(table, made).returncode == 0

    for name in ("seen", "found"):
        assert table.bridge.written(replace(ITEMS, table=name)) is None


def test_asking_takes_no_lock_away_from_this_process(table: SourceDatabase) -> None:
    with closing(sqlite3.connect(file_of(table), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")

        assert file_mark(file_of(table)) is not None

        assert "locked" in elsewhere(table, "INSERT INTO items VALUES (60, 'x')").stderr


def test_a_copy_that_follows_marks_alone_stays_equal_while_writers_race(
    table: SourceDatabase,
) -> None:
    program = """
import random, sqlite3, sys
chance = random.Random(sys.argv[2])
c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
for _ in range(60):
    c.execute('BEGIN IMMEDIATE')
    c.execute('UPDATE items SET v = ? WHERE id = ?', (str(chance.random()), chance.randint(1, 50)))
    c.execute(chance.choice(['COMMIT', 'COMMIT', 'ROLLBACK']))
    if chance.random() < 0.05:
        c.execute('PRAGMA wal_checkpoint(RESTART)')
        c.close()
        c = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
"""
    bridge = table.another_bridge(timeout_ms=30_000)
    kept: Written | None = None
    rows: list[tuple[object, ...]] = []

    def sync() -> bool:
        nonlocal kept, rows
        now = bridge.written(ITEMS)
        assert now is not None
        if kept is not None and same(now, kept):
            return False
        rows = bridge.read_page(ITEMS, Window(), 99).frame.rows()
        kept = now
        return True

    writers = [
        subprocess.Popen([sys.executable, "-c", program, file_of(table), str(seed)])
        for seed in range(2)
    ]
    while any(writer.poll() is None for writer in writers):
        sync()
    sync()

    assert [writer.returncode for writer in writers] == [0, 0]
    assert not sync()
    assert rows == table.another_bridge().read_page(ITEMS, Window(), 99).frame.rows()
