"""A SQLite source is a file: missing, foreign, locked, replaced, or written to meanwhile."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.bridges.sql import SqlBridge
from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from tests.ordinary_user import ordinary_user
from tests.sources import SourceDatabase

ITEMS = Selection("items", ("id",), ("id", "v"))


def test_a_file_that_is_missing_is_an_error_and_not_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    bridge = SqlBridge(f"sqlite:///{path}", timeout_ms=1_000, name="shop")

    with pytest.raises(SourceRefused, match=r"'shop'.*no SQLite file.*none\.db"):
        bridge.table("items")

    assert not path.exists()


def test_a_file_that_this_user_may_not_read_is_told_as_such() -> None:
    """The driver says "failed to allocate memory"."""
    # Not in pytest's own folder, which its owner alone may enter.
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "shop.db"
        path.touch(mode=0)
        bridge = SqlBridge(f"sqlite:///{path}", timeout_ms=1_000, name="shop")

        with (
            ordinary_user(),
            pytest.raises(SourceRefused, match=r"'shop': this user may not read the SQLite file"),
        ):
            bridge.table("items")


def test_a_file_that_is_no_database_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)
    bridge = SqlBridge(f"sqlite:///{path}", timeout_ms=1_000, name="shop")

    with pytest.raises(SourceRefused, match="no SQLite database") as refused:
        bridge.table("items")
    bridge.close()
    assert refused.value.cure == "Name the file of the database in the source's connection."


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_a_file_that_was_cut_is_told_as_damaged_and_never_read_as_fewer_rows(
    tmp_path: Path, kept: float
) -> None:
    # given a copy of a database that broke off
    path = tmp_path / "cut.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)")
        connection.executemany("INSERT INTO items (v) VALUES (?)", [("v" * 200,)] * 2_000)
    connection.close()
    os.truncate(path, int(path.stat().st_size * kept))
    bridge = SqlBridge(f"sqlite:///{path}", timeout_ms=1_000, name="shop")

    with pytest.raises(SourceRefused, match=r"'shop'.*cut\.db' is damaged or cut off") as refused:
        bridge.read_page(ITEMS, Window(), 5_000)
    bridge.close()
    assert "Restore it from a backup" in refused.value.cure


_DIES = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 5")
db.execute("BEGIN")
db.execute("UPDATE items SET v = 'new'")
db.executemany("INSERT INTO items (v) VALUES (?)", [("v" * 900,)] * 500)
os._exit(9)
"""


def test_what_a_writer_left_that_died_may_be_taken_back_by_the_next_one(
    sqlite_source: SourceDatabase,
) -> None:
    # Given a program that dies when a part of its transaction is in the file already
    sqlite_source.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO items VALUES (1, 'old')"
    )
    sqlite_source.engine.dispose()
    path = sqlite_source.url.removeprefix("sqlite:///")
    subprocess.run([sys.executable, "-c", _DIES, path], check=False, timeout=60)

    # Then it is no matter of permissions, and may pass
    with pytest.raises(SourceUnreachable, match="died and left its journal") as left:
        sqlite_source.bridge.read_page(ITEMS, Window(), 10)
    assert "open the file once" in left.value.cure

    # When somebody opens the file who may write
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT v FROM items").fetchall() == [("old",)]
    db.close()
    assert sqlite_source.bridge.read_page(ITEMS, Window(), 10).frame.rows() == [(1, "old")]


@pytest.mark.parametrize(
    ("made", "lacks"),
    [
        ("CREATE VIEW items AS SELECT id, ours(v) AS v FROM stored", "no such function: ours"),
        (
            "CREATE TABLE items (id TEXT COLLATE ours PRIMARY KEY, v TEXT)",
            "no such collation sequence: ours",
        ),
    ],
)
def test_what_only_the_applications_own_sqlite_knows_is_told_at_once(
    tmp_path: Path, made: str, lacks: str
) -> None:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as db:
        db.create_function("ours", 1, lambda text: text)
        db.create_collation("ours", lambda one, other: (one > other) - (one < other))
        db.execute("CREATE TABLE stored (id INTEGER PRIMARY KEY, v TEXT)")
        db.execute("INSERT INTO stored (v) VALUES ('a'), ('b')")
        db.execute(made)
    db.close()
    bridge = SqlBridge(f"sqlite:///{path}", timeout_ms=1_000, name="shop")

    with pytest.raises(SourceRefused, match=f"lacks what the table needs .{lacks}") as refused:
        bridge.read_page(ITEMS, Window(), 10)

    bridge.close()
    assert not isinstance(refused.value, ValueRefused)
    assert "its password" not in refused.value.cure


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    path = tmp_path / "a b#c&d.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY)")
    connection.close()
    bridge = SqlBridge(f"sqlite:///{path}", timeout_ms=1_000, name="shop")

    assert bridge.count(Selection("items", ("id",), ("id",))) == 0
    bridge.close()


def test_a_database_in_wal_mode_is_read_while_it_is_written_to(
    sqlite_source: SourceDatabase,
) -> None:
    sqlite_source.run(
        "PRAGMA journal_mode = WAL", "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)"
    )
    counts = []
    for n in range(4):
        # A writer in this very process that closes takes the log away under the reader.
        writer = sqlite3.connect(sqlite_source.url.removeprefix("sqlite:///"))
        writer.execute("INSERT INTO items (v) VALUES ('x')")
        writer.commit()
        counts.append(sqlite_source.bridge.count(ITEMS))
        writer.close()
        if n == 1:
            sqlite_source.engine.dispose()

    assert counts == [1, 2, 3, 4]


def test_a_file_that_was_replaced_is_read_anew(
    sqlite_source: SourceDatabase, tmp_path: Path
) -> None:
    sqlite_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)")
    assert sqlite_source.bridge.count(ITEMS) == 0
    published = tmp_path / "next.db"
    with sqlite3.connect(published) as connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)")
        connection.execute("INSERT INTO items (v) VALUES ('x')")
    connection.close()

    os.replace(published, sqlite_source.url.removeprefix("sqlite:///"))

    assert sqlite_source.bridge.count(ITEMS) == 1


def test_a_locked_file_may_pass(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)")
    bridge = sqlite_source.another_bridge(timeout_ms=100)
    # Another process: a process's own locks do not stop itself.
    hold = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.read()"
    )
    path = sqlite_source.url.removeprefix("sqlite:///")
    with subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"held\n"

        with pytest.raises(SourceUnreachable, match="locked"):
            bridge.count(ITEMS)

    assert bridge.count(ITEMS) == 0


def test_a_reader_between_pages_does_not_hold_up_a_writer(sqlite_source: SourceDatabase) -> None:
    sqlite_source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)")
    sqlite_source.insert("items", [(n, "v") for n in range(10)])
    assert sqlite_source.bridge.read_page(ITEMS, Window(), 3).cursor is not None

    path = sqlite_source.url.removeprefix("sqlite:///")
    write = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0); "
        "c.execute('DROP TABLE items'); c.commit()"
    )
    done = subprocess.run([sys.executable, "-c", write, path], capture_output=True, check=False)

    assert done.stderr == b""
