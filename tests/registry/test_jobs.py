from __future__ import annotations

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import COUNTS, NOW, ask, at, end, get, queue, start


def test_a_taken_job_runs_under_its_lease(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")

    with registry.begin() as db:
        job = jobs.take(db, "job-1", lease="lease-1", run_id="run-1", now=at(3))
        assert jobs.holds(db, "job-1", "lease-1")
        assert not jobs.holds(db, "job-1", "lease-2")
        assert not jobs.holds(db, "job-1", None)

    assert job == get(registry, "job-1")
    assert (job.status, job.lease, job.run_id) == (JobStatus.RUNNING, "lease-1", "run-1")
    assert job.started_at == job.heartbeat_at == at(3)


def test_a_job_is_taken_once(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")
    start(registry, "job-1")

    assert start(registry, "job-1", "lease-2") is None
    assert get(registry, "job-1").lease == "lease-1"
    assert start(registry, "no such job") is None


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.SMART_SYNC, Mode.REPAIR])
def test_one_sweep_of_a_lens_runs_at_a_time(registry: Registry, lens: Lens, mode: Mode) -> None:
    queue(registry, lens, Mode.SMART_SYNC, "sweep")
    start(registry, "sweep")
    queue(registry, lens, mode, "next", shard=0)

    refused = start(registry, "next", "lease-2")
    end(registry, "sweep", JobStatus.COMPLETED)
    taken = start(registry, "next", "lease-2")

    assert refused is None
    assert taken is not None


def test_a_sweep_does_not_hold_up_records_or_a_full_ingest(registry: Registry, lens: Lens) -> None:
    for mode in (Mode.SMART_SYNC, Mode.RECORDS, Mode.FULL):
        queue(registry, lens, mode, mode)

    assert [start(registry, mode) for mode in (Mode.SMART_SYNC, Mode.RECORDS, Mode.FULL)].count(
        None
    ) == 0


def test_a_heartbeat_keeps_the_lease_and_the_numbers(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")
    start(registry, "job-1")

    with registry.begin() as db:
        alive = jobs.heartbeat(db, "job-1", lease="lease-1", counts=COUNTS, now=at(5))
        fenced = jobs.heartbeat(db, "job-1", lease="lease-0", counts=Counts(), now=at(6))

    assert (alive, fenced) == (True, False)
    assert (get(registry, "job-1").heartbeat_at, get(registry, "job-1").counts) == (at(5), COUNTS)


def test_a_job_ends_with_its_numbers_and_reasons(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")
    start(registry, "job-1")

    with registry.begin() as db:
        ended = jobs.finish(
            db,
            "job-1",
            lease="lease-1",
            status=JobStatus.FAILED,
            counts=COUNTS,
            error="no table",
            cure="make it",
            now=at(9),
        )

    job = get(registry, "job-1")
    assert ended
    assert (job.status, job.counts, job.ended_at) == (JobStatus.FAILED, COUNTS, at(9))
    assert (job.error, job.cure) == ("no table", "make it")


def test_a_job_ends_once_and_only_for_whoever_holds_it(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")
    start(registry, "job-1")

    assert not end(registry, "job-1", JobStatus.FAILED, lease="lease-0")
    assert not end(registry, "job-1", JobStatus.FAILED, lease=None)
    assert end(registry, "job-1", JobStatus.COMPLETED)
    assert not end(registry, "job-1", JobStatus.FAILED)
    assert get(registry, "job-1").status is JobStatus.COMPLETED


def test_a_job_cannot_end_running(registry: Registry, lens: Lens) -> None:
    with pytest.raises(ValueError, match="cannot end running"):
        end(registry, "job-1", JobStatus.RUNNING)


def test_several_runs_join_a_full_ingest_without_a_lease(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.FULL, "job-1")

    with registry.begin() as db:
        first = jobs.join(db, "job-1", run_id="run-1", now=at(1))
        second = jobs.join(db, "job-1", run_id="run-2", now=at(2))
        beaten = jobs.beat(db, "job-1", at(8))

    job = get(registry, "job-1")
    assert first is not None
    assert second is not None
    assert (job.status, job.lease, job.run_id) == (JobStatus.RUNNING, None, "run-1")
    assert (beaten, job.started_at, job.heartbeat_at) == (True, at(1), at(8))
    assert end(registry, "job-1", JobStatus.COMPLETED, lease=None)
    with registry.begin() as db:
        assert jobs.join(db, "job-1", run_id="run-3", now=at(9)) is None
        assert not jobs.beat(db, "job-1", at(9))


def test_only_a_full_ingest_is_joined(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")

    with registry.begin() as db:
        assert jobs.join(db, "job-1", run_id="run-1", now=NOW) is None


def test_a_job_that_is_tried_again_waits_for_its_time(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.SMART_SYNC, "job-1")
    start(registry, "job-1")

    with registry.begin() as db:
        queued = jobs.retry(
            db, "job-1", lease="lease-1", due_at=at(60), error="no answer", now=at(5)
        )
        again = jobs.retry(db, "job-1", lease="lease-1", due_at=at(60), error="late", now=at(6))

    job = get(registry, "job-1")
    assert (queued, again) == (True, False)
    assert (job.status, job.attempt, job.due_at) == (JobStatus.QUEUED, 2, at(60))
    assert (job.error, job.lease, job.run_id) == ("no answer", None, None)
    assert ask(registry, lens, Mode.SMART_SYNC, "job-2").deduplicated
    assert start(registry, "job-1", "lease-2") is not None


def test_a_job_tried_again_gives_way_to_a_newer_one(registry: Registry, lens: Lens) -> None:
    # given: a job fails after the next one of its kind was queued
    queue(registry, lens, Mode.INCREMENTAL, "old")
    start(registry, "old")
    queue(registry, lens, Mode.INCREMENTAL, "new")

    # when
    with registry.begin() as db:
        held = jobs.retry(db, "old", lease="lease-1", due_at=at(60), error="no", now=at(5))

    # then
    old = get(registry, "old")
    assert held
    assert (old.status, old.ended_at) == (JobStatus.CANCELED, at(5))
    assert "newer job" in str(old.error)
    assert get(registry, "new").status is JobStatus.QUEUED
    assert start(registry, "new", "lease-2") is not None


def test_a_paused_job_waits_without_having_used_an_attempt(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.SMART_SYNC, "job-1")
    start(registry, "job-1")

    with registry.begin() as db:
        assert jobs.requeue(db, "job-1", lease="lease-1", now=at(7))
        assert not jobs.requeue(db, "job-1", lease="lease-1", now=at(8))

    job = get(registry, "job-1")
    assert (job.status, job.attempt, job.due_at) == (JobStatus.QUEUED, 1, at(7))


@pytest.mark.parametrize("way", ["failed", "paused"])
def test_what_was_asked_of_a_job_is_asked_of_the_newer_one_in_its_place(
    registry: Registry, lens: Lens, way: str
) -> None:
    # given a job that a person confirmed, of whose kind another one was queued since
    queue(registry, lens, Mode.SMART_SYNC, "old", confirmed=True, full_walk=True)
    start(registry, "old")
    queue(registry, lens, Mode.SMART_SYNC, "new")

    # when it goes back to the queue
    with registry.begin() as db:
        if way == "failed":
            jobs.retry(db, "old", lease="lease-1", due_at=at(60), error="no", now=at(5))
        else:
            jobs.requeue(db, "old", lease="lease-1", now=at(5))

    # then
    old, new = get(registry, "old"), get(registry, "new")
    assert (old.status, new.status) == (JobStatus.CANCELED, JobStatus.QUEUED)
    assert (new.confirmed, new.full_walk) == (True, True)
    assert new.attempt == (2 if way == "failed" else 1)


def test_a_paused_full_ingest_keeps_its_place(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.FULL, "job-1")
    with registry.begin() as db:
        jobs.join(db, "job-1", run_id="run-1", now=NOW)
        assert jobs.requeue(db, "job-1", lease=None, now=at(7))

    assert ask(registry, lens, Mode.FULL, "job-2").job.id == "job-1"
    with registry.begin() as db:
        assert jobs.join(db, "job-1", run_id="run-2", now=at(9)) is not None
