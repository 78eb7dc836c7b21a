"""SQLite's write-ahead log is copied between calls, and never grows without end."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from semilayer_pipelines.registry import changes, write_ahead
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.write_ahead import LogCopier
from tests.patience import eventually
from tests.registry.given import NOW, make_lens
from tests.registry_file import lay_registry

PAGE = 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def registry(file: Path) -> Iterator[Registry]:
    lay_registry(f"sqlite:///{file}")
    opened = Registry.open(f"sqlite:///{file}")
    yield opened
    opened.close()


@pytest.fixture
def copier(registry: Registry) -> Iterator[LogCopier]:
    started = LogCopier(registry.engine)
    started.start()
    yield started
    started.stop()


def commit(registry: Registry, lens: int, count: int, start: int = 0) -> None:
    told = [(f"key-{n}", Action.UPSERT) for n in range(start, start + count)]
    with registry.begin(durable=True) as db:
        changes.append(db, lens, told, NOW)


def log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def test_a_commit_leaves_the_log_and_it_is_copied_afterwards(
    registry: Registry, copier: LogCopier, file: Path
) -> None:
    lens = make_lens(registry, "items").id
    before = file.stat().st_size

    commit(registry, lens, 60_000)
    assert log_of(file).stat().st_size > 1_000 * PAGE, "as many pages as SQLite would copy"
    assert file.stat().st_size == before

    copier.committed(60_000)
    eventually(lambda: file.stat().st_size > before + 500 * PAGE)


def test_many_changes_write_no_page_but_to_the_log(
    registry: Registry, copier: LogCopier, file: Path
) -> None:
    # given: so many keys that new ones are in as many pages of their index
    lens = make_lens(registry, "items").id
    commit(registry, lens, 60_000)
    keys = [f"key-{n}-new" for n in range(0, 60_000, 60)]
    log, before = log_of(file).stat().st_size, written_by_this_thread()

    # when
    with registry.begin(durable=True) as db:
        changes.append(db, lens, [(key, Action.UPSERT) for key in keys], NOW)

    # then: none was copied elsewhere, for the case that the statement fails
    logged = log_of(file).stat().st_size - log
    assert logged > 300 * PAGE
    assert written_by_this_thread() - before < 1.05 * logged


def written_by_this_thread() -> int:
    told = Path("/proc/thread-self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in told)["wchar"])


def test_many_small_commits_are_copied_too(
    registry: Registry, copier: LogCopier, file: Path
) -> None:
    lens = make_lens(registry, "items").id
    before = file.stat().st_mtime_ns

    for number in range(write_ahead.COPIED_AFTER_COMMITS):
        commit(registry, lens, 1, number)
        copier.committed(1)

    eventually(lambda: file.stat().st_mtime_ns > before)


def test_a_log_that_copying_cannot_keep_up_with_is_waited_for(
    registry: Registry, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lens = make_lens(registry, "items").id
    monkeypatch.setattr(write_ahead, "LOG_PAGES", 200)
    copier = LogCopier(registry.engine)
    copier.start()

    for number in range(60):
        commit(registry, lens, 2_000, 2_000 * number)
        copier.committed(2_000)

    # then it is as long as some calls make it, and not as sixty do: 4,300 pages
    assert log_of(file).stat().st_size < 1_900 * PAGE
    copier.stop()


def test_while_somebody_reads_nothing_is_lost_and_nobody_waits_for_ever(
    registry: Registry, copier: LogCopier, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a reader who keeps the log from being begun again
    lens = make_lens(registry, "items").id
    monkeypatch.setattr(write_ahead, "LOG_PAGES", 200)
    with closing(sqlite3.connect(file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sl_changes").fetchone()

        for number in range(5):
            commit(registry, lens, 2_000, 2_000 * number)
            copier.committed(2_000)

    with registry.read() as db:
        assert changes.buffered(db, lens) == 10_000


def test_a_log_that_cannot_be_copied_is_said_and_stops_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given a folder that went away
    registry = Registry.open(f"sqlite:///{tmp_path}/gone/registry.db", migrate=False)
    copier = LogCopier(registry.engine)
    copier.start()
    (tmp_path / "gone").rmdir()

    with caplog.at_level(logging.WARNING):
        copier.committed(10_000)
        eventually(lambda: "could not be copied" in caplog.text)
        copier.committed(10_000)
    copier.stop()


def test_connections_of_a_process_that_ended_it_copy_by_themselves_again(
    registry: Registry, file: Path
) -> None:
    copier = LogCopier(registry.engine)
    copier.start()
    copier.stop()
    lens = make_lens(registry, "items").id
    before = file.stat().st_size

    commit(registry, lens, 60_000)

    assert file.stat().st_size > before + 500 * PAGE


def test_two_services_of_one_process_end_one_after_the_other(
    registry: Registry, file: Path
) -> None:
    copiers = [LogCopier(registry.engine) for _ in range(2)]
    lens = make_lens(registry, "items").id
    for copier in copiers:
        copier.start()
    before = file.stat().st_size

    copiers[0].stop()
    commit(registry, lens, 60_000)
    assert file.stat().st_size == before

    copiers[1].stop()
    commit(registry, lens, 10_000)
    assert file.stat().st_size > before


def test_others_may_connect_while_it_starts_and_stops(registry: Registry) -> None:
    ends = threading.Event()

    def connect() -> int:
        connected = 0
        while not ends.is_set():
            with registry.read() as db:
                connected += db.exec_driver_sql("SELECT 1").scalar_one()
        return connected

    with ThreadPoolExecutor() as pool:
        others = [pool.submit(connect) for _ in range(3)]
        try:
            for _ in range(40):
                copier = LogCopier(registry.engine)
                copier.start()
                copier.stop()
        finally:
            ends.set()
    assert all(one.result() for one in others)
