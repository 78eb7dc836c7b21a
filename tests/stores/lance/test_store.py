"""The traps of LanceDB 0.40, one test each: what would break if the guard against it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import lancedb
import polars as pl
import pytest

from semilayer_pipelines.errors import NotFound, StoreUnavailable
from semilayer_pipelines.stores import uninterrupted
from semilayer_pipelines.stores.lance.index import LanceIndex
from semilayer_pipelines.stores.lance.store import LanceStore
from semilayer_pipelines.stores.protocol import KEY
from semilayer_pipelines.stores.uninterrupted import to_the_end
from tests.patience import PATIENCE_SECONDS
from tests.stores.conftest import ROOT
from tests.stores.objects import ONE_FIELD, names, objects


@pytest.fixture
def lance(tmp_path: Path) -> LanceStore:
    return LanceStore(tmp_path, "development")


@pytest.fixture
def lance_index(lance: LanceStore) -> LanceIndex:
    return lance.create("lens-g1", ONE_FIELD)


def _raw(tmp_path: Path, *, newest: bool = True) -> Any:
    """Open the same table the way somebody else would: no lock, and no refresh when not asked."""
    interval = timedelta(0) if newest else None
    folder = tmp_path / "development"
    return lancedb.connect(folder, read_consistency_interval=interval).open_table("lens-g1")


def _keys(index: LanceIndex) -> list[str]:
    return sorted(key for frame in index.scan() for key in frame[KEY].to_list())


def test_a_handle_opened_before_other_writes_still_merges_with_them(
    tmp_path: Path, lance_index: LanceIndex
) -> None:
    early = LanceStore(tmp_path, "development").open("lens-g1")
    for number in range(3):
        with lance_index.lock():
            lance_index.upsert(objects(names(100), title=f"late {number}"))

    with early.lock():
        early.upsert(objects(names(100), title="early"))

    assert _keys(lance_index) == names(100)


def test_a_reader_sees_commits_made_after_it_opened(
    tmp_path: Path, lance_index: LanceIndex
) -> None:
    reader = LanceStore(tmp_path, "development").open("lens-g1")
    assert reader.count() == 0
    with lance_index.lock():
        lance_index.upsert(objects(["a"]))
    assert reader.count() == 1
    assert reader.get("a") is not None


def test_a_write_that_lance_counts_otherwise_is_not_believed(
    tmp_path: Path, lance_index: LanceIndex
) -> None:
    twice = objects(["a"]).to_arrow(compat_level=pl.CompatLevel.oldest())
    _raw(tmp_path).add(twice.cast(lance_index._columns))
    _raw(tmp_path).add(twice.cast(lance_index._columns))
    with (
        lance_index.lock(),
        pytest.raises(StoreUnavailable, match="counted 2 rows where 1 were due"),
    ):
        lance_index.upsert(objects(["a"], title="new"))
    with lance_index.lock():
        assert lance_index.delete(["a"]) == 2


def test_maintenance_waits_for_the_writer(lance_index: LanceIndex) -> None:
    with lance_index.lock():
        lance_index.upsert(objects(names(10)))
        maintaining = threading.Thread(target=lambda: lance_index.maintain(force=True))
        maintaining.start()
        maintaining.join(0.3)
        assert maintaining.is_alive()
        lance_index.upsert(objects(names(10, start=5)))
    maintaining.join(PATIENCE_SECONDS)
    assert not maintaining.is_alive()
    assert _keys(lance_index) == names(15)


def test_maintenance_does_not_break_a_reader_on_an_old_version(
    tmp_path: Path, lance_index: LanceIndex
) -> None:
    with lance_index.lock():
        lance_index.upsert(objects(names(500)))
    old = _raw(tmp_path, newest=False)
    for number in range(25):
        with lance_index.lock():
            lance_index.upsert(objects(names(500), title=f"round {number}"))
    lance_index.maintain(force=True)
    lance_index.maintain(force=True)
    assert {row["title"] for row in old.search().limit(None).to_list()} == {"a title"}


def test_same_names_and_versions_of_a_dropped_table_are_not_mistaken_for_the_new_one(
    tmp_path: Path, lance: LanceStore, lance_index: LanceIndex
) -> None:
    reader = LanceStore(tmp_path, "development").open("lens-g1")
    with lance_index.lock():
        lance_index.upsert(objects(["old-1", "old-2"]))
    assert reader.count() == 2
    lance.drop("lens-g1")

    again = LanceStore(tmp_path, "development").create("lens-g1", ONE_FIELD)
    with again.lock():
        again.upsert(objects(["new"]))

    for handle in (reader, lance_index, lance.open("lens-g1")):
        assert _keys(handle) == ["new"]
        with handle.lock():
            assert handle.upsert(objects(["new"], title="again")) == 1
    assert again.count() == 1


def test_what_a_killed_create_leaves_does_not_exist_and_is_in_nobodys_way(
    tmp_path: Path, lance: LanceStore
) -> None:
    leftover = tmp_path / "development" / "lens-g1.lance"
    for folder in ("data", "_transactions", "_versions"):
        (leftover / folder).mkdir(parents=True)
    (leftover / "data" / "half.lance").write_bytes(b"half")

    assert not lance.exists("lens-g1")
    assert lance.names() == []
    with pytest.raises(NotFound):
        lance.open("lens-g1")

    assert lance.create("lens-g1", ONE_FIELD).count() == 0
    assert not (leftover / "data" / "half.lance").exists()


def test_a_drop_leaves_no_file_behind_and_finishes_one_that_was_killed(
    tmp_path: Path, lance: LanceStore, lance_index: LanceIndex
) -> None:
    folder = tmp_path / "development"
    lance.create("lens-g10", ONE_FIELD)
    with lance_index.lock():
        lance_index.upsert(objects(["a"]))
    (folder / "lens-g1.dropped-0123" / "data").mkdir(parents=True)

    assert lance.names() == ["lens-g1", "lens-g10"]
    lance.drop("lens-g1")

    assert {path.name for path in folder.iterdir()} == {"lens-g10.lance", "lens-g10.lock"}


def test_a_drop_waits_for_the_writer(lance: LanceStore, lance_index: LanceIndex) -> None:
    with lance_index.lock():
        dropping = threading.Thread(target=lambda: lance.drop("lens-g1"))
        dropping.start()
        dropping.join(0.2)
        assert dropping.is_alive()
        assert lance_index.upsert(objects(["a"])) == 1
    dropping.join(PATIENCE_SECONDS)
    assert not lance.exists("lens-g1")


def test_an_interrupt_is_raised_only_when_the_write_has_ended() -> None:
    ended = []

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def write() -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        time.sleep(0.3)
        ended.append(True)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            to_the_end(write)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ended == [True]


def test_an_interrupt_that_comes_before_a_write_prevents_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = threading.Event()

    class Interrupted(ThreadPoolExecutor):
        """Is interrupted when its thread runs, and before anybody knows of it."""

        def submit(self, *given: Any, **options: Any) -> Any:
            super().submit(*given, **options)
            threads: Any = self._threads
            threads.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(uninterrupted, "ThreadPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        to_the_end(begun.set)
    assert not begun.wait(0.3)


def test_a_table_tells_its_own_schema(lance: LanceStore, lance_index: LanceIndex) -> None:
    with lance_index.lock():
        lance_index.upsert(objects(["a"]))
    lance_index.maintain(force=True)
    assert lance.open("lens-g1").schema == ONE_FIELD


def test_lance_prints_nothing_and_opens_no_connection(tmp_path: Path) -> None:
    code = f"""
import contextlib, os
from pathlib import Path
from semilayer_pipelines.stores import open_store
from tests.stores.objects import ONE_FIELD, names, objects
index = open_store("lancedb", Path({str(tmp_path)!r}), "development").create("a", ONE_FIELD)
for number in range(25):
    with index.lock():
        index.upsert(objects(names(200)))
index.search([1.0] * 8, limit=5)
index.maintain(force=True)
mine = set()
for number in os.listdir("/proc/self/fd"):
    with contextlib.suppress(FileNotFoundError):
        mine.add(os.readlink(f"/proc/self/fd/{{number}}"))
mine = {{link[8:-1] for link in mine if link.startswith("socket:[")}}
assert mine, "at least the event loop has a socket of its own"
for protocol in ("tcp", "tcp6", "udp", "udp6"):
    with open(f"/proc/self/net/{{protocol}}") as table:
        assert not mine & {{line.split()[9] for line in table.readlines()[1:]}}, protocol
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
