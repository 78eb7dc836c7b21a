"""What every store must stand: several writers, readers meanwhile, and death at any instruction."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from semilayer_pipelines.stores.protocol import KEY, Index
from tests.patience import PATIENCE_SECONDS
from tests.stores.conftest import Place
from tests.stores.objects import names, objects
from tests.stores.tenanted import KIND as TENANTS

IN_PROCESSES = pytest.mark.parametrize(
    "place",
    ["lancedb", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("weaviate", TENANTS))],
    indirect=True,
)
"""Many writes from processes of their own, which over a network are slow."""


def _all_keys(index: Index) -> list[str]:
    return [key for frame in index.scan() for key in frame[KEY].to_list()]


def _wait_until_begun(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"


def _kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)


@IN_PROCESSES
def test_two_processes_writing_the_same_new_keys_leave_no_duplicate(
    place: Place, index: Index
) -> None:
    writers = [place.start("write", index.name, "15", "200") for _ in range(2)]
    for writer in writers:
        _, err = writer.communicate(timeout=PATIENCE_SECONDS)
        assert (writer.returncode, err) == (0, "")
    assert sorted(_all_keys(index)) == names(15 * 200)


def test_threads_with_one_handle_or_their_own_take_turns(place: Place, index: Index) -> None:
    inside, most_inside = 0, 0

    def write(handle: Index) -> None:
        nonlocal inside, most_inside
        for number in range(8):
            with handle.lock():
                inside += 1
                most_inside = max(most_inside, inside)
                handle.upsert(objects(names(50, start=number * 50)))
                inside -= 1

    handles = [index, index, place.open().open(index.name), place.open().open(index.name)]
    with ThreadPoolExecutor(len(handles)) as pool:
        list(pool.map(write, handles))
    assert most_inside == 1
    assert sorted(_all_keys(index)) == names(400)


def test_the_lock_is_not_taken_twice_by_one_thread(place: Place, index: Index) -> None:
    with index.lock():
        with pytest.raises(RuntimeError, match="already"), index.lock():
            pass
        with pytest.raises(RuntimeError, match="already"), place.open().open(index.name).lock():
            pass
        assert index.upsert(objects(["a"])) == 1
    with index.lock():
        assert index.count() == 1


def test_the_lock_of_one_thread_is_not_the_lock_of_another(index: Index) -> None:
    failures: list[Exception] = []

    def intrude() -> None:
        try:
            index.upsert(objects(["a"]))
        except RuntimeError as error:
            failures.append(error)

    with index.lock():
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
    assert len(failures) == 1
    assert index.count() == 0


def test_a_failed_block_gives_the_lock_back(index: Index) -> None:
    with pytest.raises(KeyError), index.lock():
        raise KeyError
    with index.lock():
        assert index.upsert(objects(["a"])) == 1


@IN_PROCESSES
@pytest.mark.parametrize("elsewhere", ["process", "thread"])
def test_a_reader_never_misses_a_live_key_nor_sees_one_twice(
    place: Place, index: Index, elsewhere: str
) -> None:
    live = 100
    with index.lock():
        index.upsert(objects(names(live + 100)))

    def stir() -> None:
        for number in range(50):
            with index.lock():
                index.upsert(objects(names(live), title=f"round {number}"))
                index.upsert(objects(names(60, start=live), title=f"round {number}"))
                index.delete(names(60, start=live + 20))
            if number % 20 == 10:
                index.maintain(force=True)
        with index.lock():
            index.upsert(objects(["stop"]))

    if elsewhere == "process":
        watcher = place.start("watch", index.name, str(live))
        _wait_until_begun(watcher)
        stir()
        out, err = watcher.communicate(timeout=PATIENCE_SECONDS)
        assert watcher.returncode == 0, err
        seen = json.loads(out)
    else:
        from tests.stores.tasks import watch

        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch, place.open(), index.name, str(live))
            stir()
            seen = watching.result(timeout=PATIENCE_SECONDS)

    assert seen["reads"] > 5
    assert seen["absent"] == 0
    # Without transactions the new object is beside the old one for a moment.
    assert seen["twice"] == 0 or place.kind != "lancedb"


@IN_PROCESSES
def test_a_killed_writer_leaves_a_whole_index_and_a_free_lock(place: Place, index: Index) -> None:
    chance = random.Random(11)
    for _ in range(3):
        writer = place.start("write_and_delete", index.name)
        _wait_until_begun(writer)
        time.sleep(chance.uniform(0.1, 0.6))
        _kill(writer)

        again = place.open().open(index.name)
        started = time.monotonic()
        with again.lock():
            assert time.monotonic() - started < 30
            keys = _all_keys(again)
            assert len(keys) == again.count()
            frame = again.fetch(keys)
            assert frame.height == len(keys)
            if place.kind == "lancedb":
                # It has transactions. An upsert of 300 and a delete of 50: whole commits only.
                assert again.count() % 50 == 0
                assert len(keys) == len(set(keys))
            # Elsewhere the old object may have stayed beside the new one, until the next write.
            once = sorted(set(keys))
            assert again.upsert(objects(once, title="after")) == len(once)
            assert sorted(_all_keys(again)) == once
            assert again.upsert(objects(["after the kill"])) == 1
            assert again.delete(["after the kill"]) == 1


def test_a_killed_holder_frees_the_lock_at_once(place: Place, index: Index) -> None:
    holder = place.start("hold", index.name)
    _wait_until_begun(holder)
    _kill(holder)
    with index.lock():
        assert index.upsert(objects(["a"])) == 1


@pytest.mark.parametrize("place", ["lancedb"], indirect=True)
def test_a_scan_that_is_under_way_keeps_its_view_where_there_are_snapshots(index: Index) -> None:
    with index.lock():
        index.add(objects(names(2_000)))
    frames = index.scan()
    first = next(frames)
    with index.lock():
        index.delete(names(2_000))
    index.maintain(force=True)
    assert pl.concat([first, *frames]).height == 2_000
    assert index.count() == 0
