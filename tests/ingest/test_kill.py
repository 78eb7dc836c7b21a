"""Any run may die at any instruction and be run again (invariant 3); readers never notice."""

from __future__ import annotations

import random
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import Fenced
from semilayer_pipelines.ingest.lease import LEASE
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import changes, jobs, shards
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.beside import beside
from tests.ingest.worker import work
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.processes import Child

ROWS = 2_000
KILLS = 3


def start(lab: Lab, mode: Mode, *shard: int) -> Child:
    """Start a worker and wait until it is about to run its job."""
    return Child(work, lab.folder, mode, *shard)


def kill_after(worker: Child, seconds: float) -> bool:
    """Kill a worker -9; return whether it was still at work."""
    if worker.wait(seconds) is None:
        worker.kill()
        return True
    return False


def give_up_on_the_dead(lab: Lab) -> None:
    """Do what the sensor does when a run has been silent for long enough, without the waiting."""
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        for job in jobs.silent(db, now + timedelta(seconds=1)):
            changes.release(db, job.id)
            jobs.finish(
                db, job.id, lease=job.lease, status=JobStatus.FAILED, counts=job.counts, now=now
            )
            building = lab.building()
            if building is None:
                continue
            for shard in shards.list_all(db, building.id):
                if shard.lease:
                    shards.release(db, building.id, shard.number, lease=shard.lease, now=now)


def a_reader_that_counts(lab: Lab, live: set[str]) -> AbstractContextManager[None]:
    """Scan the index in use all the time; fail if a live key is ever absent or there twice."""

    def read() -> None:
        keys = [key for frame in lab.index.scan() for key in frame[KEY].to_list()]
        assert len(keys) == len(set(keys)), "a key was there twice"
        assert live <= set(keys), f"{len(live - set(keys))} live keys were absent"

    return beside(read)


@pytest.mark.parametrize("rebuild", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_full_ingest_killed_again_and_again_ends_as_the_source(
    tmp_path: Path, rebuild: bool
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    if rebuild:
        lab.full()
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'renamed' WHERE id % 3 = 0")
    dice, killed = random.Random(rebuild), 0

    for _ in range(KILLS):
        killed += kill_after(start(lab, Mode.FULL), dice.uniform(0.0, 0.6))
        give_up_on_the_dead(lab)
    lab.full()

    assert killed >= KILLS // 2
    assert lab.audit().clean
    assert lab.index.count() == ROWS


def test_a_sync_killed_again_and_again_ends_as_the_source_and_no_reader_notices(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    dice, killed = random.Random(3), 0
    live = {str(n) for n in range(1, ROWS + 1) if n % 10}

    with a_reader_that_counts(lab, live):
        for turn in range(KILLS):
            with lab.source() as db:
                db.execute("UPDATE items SET description = ? || id WHERE id % 10 > 6", (turn,))
                db.execute("DELETE FROM items WHERE id % 10 = 0 AND id % ? = 0", (turn + 2,))
            killed += kill_after(start(lab, Mode.SMART_SYNC), dice.uniform(0.05, 0.5))
            give_up_on_the_dead(lab)
        lab.sync()

    assert killed >= KILLS // 2
    assert lab.audit().clean


def test_changes_claimed_by_a_killed_run_are_applied_by_the_next(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    dice, killed = random.Random(4), 0

    for turn in range(KILLS):
        ids = dice.sample(range(1, ROWS), 150)
        gone = set(ids[:30])
        with lab.source() as db:
            db.executemany("UPDATE items SET name = ? || id WHERE id = ?", [(turn, i) for i in ids])
            db.executemany("DELETE FROM items WHERE id = ?", [(i,) for i in gone])
        with lab.project.registry.begin() as db:
            named = [(str(i), Action.DELETE if i in gone else Action.UPSERT) for i in ids]
            changes.append(db, lab.lens.id, named, lab.project.clock())
        killed += kill_after(start(lab, Mode.RECORDS), dice.uniform(0.0, 0.3))
        give_up_on_the_dead(lab)
    lab.apply_all()

    assert killed
    assert lab.audit().clean


@pytest.mark.slow
def test_an_incremental_run_killed_again_and_again_misses_nothing(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    dice, killed = random.Random(5), 0

    for turn in range(KILLS):
        with lab.source() as db:
            db.execute(
                "UPDATE items SET name = ? || id, updated_at = ? WHERE id % 2 = ?",
                (turn, f"2024-06-0{turn + 1} 00:00:00", turn % 2),
            )
        killed += kill_after(start(lab, Mode.INCREMENTAL), dice.uniform(0.0, 0.3))
        give_up_on_the_dead(lab)
    lab.run(lab.request(Mode.INCREMENTAL))

    assert killed >= KILLS // 2
    assert lab.audit().clean


@pytest.mark.slow
def test_whatever_is_killed_whenever_one_sync_later_the_index_is_the_source(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=4)
    lab.full()
    dice, killed = random.Random(6), 0
    live = {str(n) for n in range(1, ROWS + 1) if n % 10}
    modes = [Mode.FULL, Mode.SMART_SYNC, Mode.RECORDS, Mode.INCREMENTAL]

    with a_reader_that_counts(lab, live):
        for turn in range(16):
            ids = dice.sample(range(1, ROWS), 300)
            gone = [n for n in ids if n % 10 == 0]
            with lab.source() as db:
                db.executemany(
                    "UPDATE items SET name = ? || id, updated_at = ? WHERE id = ?",
                    [(turn, f"2024-06-{turn + 1:02d} 00:00:00", n) for n in ids],
                )
                db.executemany("DELETE FROM items WHERE id = ?", [(n,) for n in gone])
            with lab.project.registry.begin() as db:
                named = [(str(n), Action.UPSERT) for n in ids]
                changes.append(db, lab.lens.id, named, lab.project.clock())
            workers = [start(lab, mode) for mode in dice.sample(modes, 2)]
            for worker in workers:
                killed += kill_after(worker, dice.uniform(0.0, 0.2))
            give_up_on_the_dead(lab)
        lab.full()
        lab.sync()

    assert killed >= 16, killed
    assert lab.audit().clean


def test_shards_filled_by_processes_side_by_side_are_published_once(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=4)

    workers = [start(lab, Mode.FULL, shard) for shard in range(4)]
    for worker in workers:
        assert worker.wait() == 0

    assert lab.audit().clean
    assert lab.index.count() == ROWS
    assert lab.building() is None


@pytest.mark.parametrize(
    "modes",
    [
        (Mode.FULL, Mode.FULL),
        pytest.param((Mode.SMART_SYNC, Mode.SMART_SYNC), marks=pytest.mark.slow),
    ],
)
def test_two_runs_of_one_lens_at_once_double_nothing(
    tmp_path: Path, modes: tuple[Mode, Mode]
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET description = description || '!' WHERE id % 2 = 0")
        db.execute(
            "INSERT INTO items SELECT id + 5000, name, description, price, category,"
            " updated_at FROM items WHERE id % 10 = 0"
        )

    workers = [start(lab, mode) for mode in modes]
    for worker in workers:
        assert worker.wait() == 0

    # A sync would make one of two objects.
    assert lab.audit().doubled == 0
    # One of them may have found the other at work and left it to it.
    lab.sync()
    assert lab.audit().clean


def test_full_sync_and_records_at_once_end_as_the_source(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'seen by all' WHERE id % 4 = 0")
        db.execute("DELETE FROM items WHERE id % 50 = 0")
    with lab.project.registry.begin() as db:
        named = [(str(n), Action.UPSERT) for n in range(4, ROWS, 4)]
        changes.append(db, lab.lens.id, named, lab.project.clock())

    workers = [start(lab, mode) for mode in (Mode.FULL, Mode.SMART_SYNC, Mode.RECORDS)]
    for worker in workers:
        assert worker.wait() == 0

    lab.sync()
    assert lab.audit().clean
    # Some of the rows that were named are gone; their changes are looked at again, and then over.
    lab.apply_all()
    assert lab.audit().clean


def test_a_run_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    # given a full ingest that stands still in the middle of its second page for too long
    lab = Lab.at(tmp_path, rows=ROWS)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    calls: list[int] = []
    taken: list[shards.Shard | None] = []

    def stand_still(texts: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            now = lab.project.clock() + LEASE + timedelta(seconds=10)
            building = lab.building()
            assert building is not None
            with lab.project.registry.begin() as db:
                taken.append(
                    shards.claim(
                        db,
                        building.id,
                        number=0,
                        lease="another",
                        run_id=None,
                        now=now,
                        stale_before=now - LEASE,
                    )
                )

    # when another run takes its shard over
    with pytest.raises(Fenced):
        run_job(Meddled.of(lab.project, stand_still), job.id)

    # then what the first one had in hand was not committed, and the other goes on from the place
    assert taken[0] is not None
    building = lab.building()
    assert building is not None
    with lab.project.registry.read() as db:
        [shard] = shards.list_all(db, building.id)
    assert shard.lease == "another"
    assert shard.counts.read == taken[0].counts.read < ROWS


def test_a_killed_process_gives_its_locks_back_at_once(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'x' || id")
    assert kill_after(start(lab, Mode.SMART_SYNC), 0.15)
    give_up_on_the_dead(lab)

    # then nobody has to wait for them, nor to be told
    began = time.monotonic()
    assert lab.sync().ended is RunEnd.COMPLETED
    assert time.monotonic() - began < LEASE.total_seconds()
    assert lab.audit().clean
    assert lab.project.store(ENV).names()
