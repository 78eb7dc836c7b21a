from __future__ import annotations

import os
import threading
import time
from io import FileIO
from pathlib import Path

import pytest

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.lock import WriterLock, _still_linked
from tests.patience import PATIENCE_SECONDS


def _held_by_a_thread(path: Path, release: threading.Event) -> threading.Thread:
    holding = threading.Event()

    def hold() -> None:
        with WriterLock(path).hold():
            holding.set()
            release.wait(PATIENCE_SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(PATIENCE_SECONDS)
    return thread


def test_waiting_is_bounded_and_the_message_says_who_holds_it(tmp_path: Path) -> None:
    path, release = tmp_path / "a.lock", threading.Event()
    holder = _held_by_a_thread(path, release)
    try:
        started = time.monotonic()
        with (
            pytest.raises(StoreUnavailable, match=f"process {os.getpid()} on ") as refused,
            WriterLock(path, wait_s=0.2).hold(),
        ):
            pass
        assert time.monotonic() - started >= 0.2
        assert str(path) in str(refused.value)
    finally:
        release.set()
        holder.join()
    with WriterLock(path, wait_s=0).hold():
        pass


def test_locks_of_different_files_do_not_meet(tmp_path: Path) -> None:
    with WriterLock(tmp_path / "a").hold(), WriterLock(tmp_path / "b", wait_s=0).hold():
        assert WriterLock(tmp_path / "a").held_by_this_thread


def test_a_removed_lock_file_is_not_the_lock_of_those_who_waited_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    inside: list[str] = []
    most = 0

    def enter(name: str) -> None:
        nonlocal most
        with WriterLock(path).hold():
            inside.append(name)
            most = max(most, len(inside))
            time.sleep(0.05)
            inside.remove(name)

    waiting = [threading.Thread(target=enter, args=(f"{number}",)) for number in range(4)]
    lock = WriterLock(path)
    with lock.hold():
        for thread in waiting[:2]:
            thread.start()
        time.sleep(0.05)
        lock.remove()
        for thread in waiting[2:]:
            thread.start()
        time.sleep(0.02)
    for thread in waiting:
        thread.join()
    assert most == 1
    assert path.exists()


def test_a_file_that_was_unlinked_or_replaced_does_not_count_as_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with FileIO(path, "a+") as file:
        assert _still_linked(file, path)
        path.unlink()
        assert not _still_linked(file, path)
        path.touch()
        assert not _still_linked(file, path)


def test_a_lock_file_is_only_removed_by_its_holder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="held"):
        WriterLock(tmp_path / "a.lock").remove()


def test_what_a_dead_holder_wrote_in_the_file_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text("process 1 on elsewhere at the beginning of time, and a very long name")
    with WriterLock(path, wait_s=0).hold():
        assert path.read_text().startswith(f"process {os.getpid()} on ")
