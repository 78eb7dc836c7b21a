"""A run that lost its lease writes nothing more, wherever it was stopped (invariant 3)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import Fenced, SourceRefused
from semilayer_pipelines.ingest.lease import LEASE
from semilayer_pipelines.ingest.run_job import Outcome, RunEnd, run_job
from semilayer_pipelines.registry import changes, failed_rows, jobs, shards
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab
from tests.meddling import Meddled

ROWS = 1_000
LATER = LEASE + timedelta(seconds=10)
PATIENCE_SECONDS = 120.0


def building_rows(lab: Lab) -> int:
    building = lab.building()
    assert building is not None
    store = lab.project.store(ENV)
    index = store.find(building.index_name)
    return index.count() if index else 0


def take_shard(lab: Lab, lease: str) -> None:
    """Claim the shard of a run that was silent for too long, as another run would."""
    building, now = lab.building(), lab.project.clock() + LATER
    assert building is not None
    with lab.project.registry.begin() as db:
        assert shards.claim(
            db,
            building.id,
            number=0,
            lease=lease,
            run_id=None,
            now=now,
            stale_before=now - LEASE,
        )


def give_job_to_another(lab: Lab, job: Job) -> Job:
    """Queue a job whose run fell silent again and take it, as the sensor and another run would."""
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        held = jobs.get(db, job.id)
        assert jobs.retry(db, job.id, lease=held.lease, due_at=now, error="silent", now=now)
        taken = jobs.take(db, job.id, lease="another", run_id=None, now=now)
    assert taken is not None
    return taken


def test_a_full_ingest_that_lost_its_shard_while_embedding_writes_not_one_row(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    calls: list[int] = []
    there: list[int] = []
    written = threading.Event()

    def stop(_: Sequence[str]) -> None:
        calls.append(1)
        if len(calls) == 2:
            # The first page is being written meanwhile, with the lease still its own.
            assert written.wait(PATIENCE_SECONDS), "the first page was not written"
            there.append(building_rows(lab))
            take_shard(lab, "another")

    with pytest.raises(Fenced):
        run_job(Meddled.of(lab.project, stop), job.id, report=lambda _: written.set())

    assert 0 < there[0] < ROWS
    assert building_rows(lab) == there[0]


def test_a_full_ingest_that_wakes_up_after_another_has_finished_it_doubles_nothing(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    others: list[Outcome] = []
    stopped = threading.Lock()

    def stop(_: Sequence[str]) -> None:
        # Two pages are embedded at once, and one of them is enough.
        if stopped.acquire(blocking=False):
            others.append(run_job(Meddled.of(lab.project, later=LATER), job.id))

    woken = run_job(Meddled.of(lab.project, stop), job.id)

    assert [others[0].ended, woken.ended] == [RunEnd.COMPLETED] * 2
    assert others[0].generation == woken.generation
    assert woken.counts.written == 0
    assert lab.audit().clean


def test_a_run_stopped_in_the_middle_of_a_write_does_not_make_the_next_one_write_it_again(
    tmp_path: Path,
) -> None:
    # given a run that is stopped with the lock in hand, its lease checked, its rows not yet written
    lab = Lab.at(tmp_path, rows=ROWS)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    others: list[threading.Thread] = []
    ends: list[RunEnd] = []
    rows: list[int] = []

    def go_on() -> None:
        def look(verb: str) -> None:
            if verb == "add":
                rows.append(building_rows(lab))

        ahead = Meddled.of(lab.project, after=look, later=LATER)
        ends.append(run_job(ahead, job.id).ended)

    def stop(verb: str) -> None:
        if verb == "add" and not others:
            others.append(threading.Thread(target=go_on))
            others[0].start()
            others[0].join(1.5)
            assert others[0].is_alive(), "the other run did not wait for the lock"

    # when it wakes up while the other, which took its shard over, waits for the lock
    with pytest.raises(Fenced):
        run_job(Meddled.of(lab.project, before=stop), job.id)
    others[0].join()

    # then no row is there twice, not even until the other publishes
    assert ends == [RunEnd.COMPLETED]
    assert max(rows) == ROWS
    assert lab.audit().clean


def test_a_sync_that_lost_its_job_writes_deletes_and_says_nothing(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id WHERE id % 2 = 0")
        db.execute("DELETE FROM items WHERE id % 100 = 0")
    before = lab.audit()
    job = lab.request(Mode.SMART_SYNC)

    def take_it_away(_: Sequence[str]) -> None:
        give_job_to_another(lab, job)

    with pytest.raises(Fenced):
        run_job(Meddled.of(lab.project, take_it_away), job.id)

    assert lab.audit() == before
    assert lab.lens.status is LensStatus.READY
    with lab.project.registry.read() as registry:
        now = jobs.get(registry, job.id)
    assert (now.status, now.lease) == (JobStatus.RUNNING, "another")


def test_a_records_run_that_lost_its_job_does_not_acknowledge_what_the_other_claimed(
    tmp_path: Path,
) -> None:
    # given a run that has looked a changed row up and found nothing to write
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("1", Action.UPSERT)], lab.project.clock())
    job = lab.request(Mode.RECORDS)

    # when another run takes its job over, and claims that row with a newer change
    def stop(verb: str) -> None:
        if verb != "fetch":
            return
        give_job_to_another(lab, job)
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'newer' WHERE id = 1")
        now = lab.project.clock()
        with lab.project.registry.begin() as db:
            changes.append(db, lab.lens.id, [("1", Action.UPSERT)], now)
        with lab.project.registry.begin() as db:
            changes.release(db, job.id)
            assert changes.claim(db, lab.lens.id, job_id=job.id, limit=10, now=now)

    with pytest.raises(Fenced):
        run_job(Meddled.of(lab.project, after=stop), job.id)

    # then the change stays until that one has applied it
    with lab.project.registry.read() as db:
        assert changes.buffered(db, lab.lens.id) == 2


def test_what_goes_wrong_in_a_run_that_lost_its_job_is_not_said_of_the_lens(
    tmp_path: Path,
) -> None:
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new'")
    job = lab.request(Mode.SMART_SYNC)

    def fail(_: Sequence[str]) -> None:
        give_job_to_another(lab, job)
        raise SourceRefused("no longer true")

    with pytest.raises(SourceRefused):
        run_job(Meddled.of(lab.project, fail), job.id)

    assert lab.lens.status is LensStatus.READY
    with lab.project.registry.read() as registry:
        assert jobs.get(registry, job.id).status is JobStatus.RUNNING
        assert failed_rows.count(registry, lab.lens.id) == 0


def test_cancelling_one_shards_run_stops_the_others_before_they_publish(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    ends: list[type[BaseException]] = []

    def cancel_the_other(_: Sequence[str]) -> None:
        def interrupt(_: Sequence[str]) -> None:
            raise KeyboardInterrupt

        if not ends:
            with pytest.raises(KeyboardInterrupt):
                run_job(Meddled.of(lab.project, interrupt), job.id, shard=1)
            ends.append(KeyboardInterrupt)

    with pytest.raises(Fenced):
        run_job(Meddled.of(lab.project, cancel_the_other), job.id, shard=0)

    with lab.project.registry.read() as db:
        assert jobs.get(db, job.id).status is JobStatus.CANCELED
    building = lab.building()
    assert building is not None
    assert lab.project.store(ENV).names() in ([], [building.index_name])
    lab.full()
    assert lab.audit().clean
