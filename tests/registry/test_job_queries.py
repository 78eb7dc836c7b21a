from __future__ import annotations

from datetime import datetime

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import generations, jobs, lenses
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import JobStatus, Mode, QueueCounts
from semilayer_pipelines.registry.lenses import Lens, LensStatus
from tests.registry.given import NOW, at, build, end, make_lens, queue, start


def due(registry: Registry, seconds: float) -> list[str]:
    with registry.read() as db:
        return [job.id for job in jobs.due(db, at(seconds))]


def test_jobs_are_due_when_their_time_has_come_oldest_first(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "orders")
    queue(registry, lens, Mode.RECORDS, "later", due_at=at(20))
    queue(registry, lens, Mode.FULL, "now", due_at=at(10))
    queue(registry, other, Mode.RECORDS, "soon", due_at=at(15))

    assert due(registry, 9) == []
    assert due(registry, 10) == ["now"]
    assert due(registry, 20) == ["now", "soon", "later"]


def test_jobs_that_run_or_ended_are_not_due(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "runs")
    start(registry, "runs")
    queue(registry, lens, Mode.RECORDS, "canceled")
    with registry.begin() as db:
        jobs.cancel(db, "canceled", NOW)

    assert due(registry, 1) == []


def test_jobs_of_a_paused_lens_are_not_due_until_it_goes_on(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.FULL, "job-1")
    with registry.begin() as db:
        lenses.set_status(db, lens.id, LensStatus.PAUSED, now=NOW)
    assert due(registry, 1) == []

    with registry.begin() as db:
        lenses.set_status(db, lens.id, LensStatus.READY, now=NOW)
    assert due(registry, 1) == ["job-1"]


def test_a_job_that_its_service_launches_is_left_to_it_for_a_few_seconds(
    registry: Registry, lens: Lens
) -> None:
    queue(registry, lens, Mode.RECORDS, "nudged", due_at=at(10), nudged=True)
    queue(registry, make_lens(registry, "orders"), Mode.RECORDS, "plain", due_at=at(10))

    assert due(registry, 10) == ["plain"]
    assert due(registry, 14.9) == ["plain"]
    assert due(registry, 15) == ["nudged", "plain"]
    with registry.read() as db:
        assert not jobs.is_due(db, "nudged", at(9.9))
        assert jobs.is_due(db, "nudged", at(10))


def test_another_attempt_of_such_a_job_is_not_left_to_it(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "nudged", due_at=at(10), nudged=True)
    start(registry, "nudged")
    with registry.begin() as db:
        assert jobs.retry(db, "nudged", lease="lease-1", due_at=at(30), error="lost", now=at(20))

    assert due(registry, 30) == ["nudged"]


def test_a_sweep_is_not_due_while_another_of_its_lens_runs(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "orders")
    queue(registry, lens, Mode.SMART_SYNC, "runs")
    start(registry, "runs")
    queue(registry, lens, Mode.INCREMENTAL, "waits")
    queue(registry, lens, Mode.RECORDS, "records")
    queue(registry, other, Mode.INCREMENTAL, "elsewhere")

    assert due(registry, 1) == ["elsewhere", "records"]


def test_of_several_sweeps_of_a_lens_only_the_first_is_due(registry: Registry, lens: Lens) -> None:
    # given: three sweeps, of which the one queued last is not due yet
    queue(registry, lens, Mode.SMART_SYNC, "b-second", due_at=at(5))
    queue(registry, lens, Mode.INCREMENTAL, "a-first", due_at=at(5))
    queue(registry, lens, Mode.REPAIR, "c-third", shard=0, due_at=at(60))

    # then: a launch is never wasted on a run that would find the lens taken
    assert due(registry, 6) == ["a-first"]
    start(registry, "a-first")
    assert due(registry, 90) == []
    with registry.begin() as db:
        jobs.finish(
            db,
            "a-first",
            lease="lease-1",
            status=JobStatus.COMPLETED,
            counts=Counts(),
            now=at(90),
        )
    assert due(registry, 90) == ["b-second"]


def test_running_jobs_without_a_sign_of_life_are_silent(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "silent")
    queue(registry, lens, Mode.FULL, "alive")
    queue(registry, lens, Mode.SMART_SYNC, "queued")
    start(registry, "silent")
    with registry.begin() as db:
        jobs.join(db, "alive", run_id=None, now=NOW)
        jobs.beat(db, "alive", at(30))

    with registry.read() as db:
        assert [job.id for job in jobs.silent(db, at(30))] == ["silent"]
        assert [job.id for job in jobs.silent(db, NOW)] == []


def test_running_jobs_are_those_of_the_lens(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "orders")
    for which, mode in [(lens, Mode.RECORDS), (lens, Mode.SMART_SYNC), (other, Mode.RECORDS)]:
        queue(registry, which, mode, f"{which.name}-{mode}")
    start(registry, "items-records")
    start(registry, "orders-records")

    with registry.read() as db:
        assert [job.id for job in jobs.running(db, lens.id)] == ["items-records"]


def test_recent_jobs_come_newest_first_and_can_be_narrowed(registry: Registry, lens: Lens) -> None:
    orders = make_lens(registry, "orders")
    abroad = make_lens(registry, "items", env="other")
    for seconds, which in enumerate([lens, orders, abroad, lens]):
        mode = Mode.FULL if seconds == 3 else Mode.RECORDS
        queue(registry, which, mode, f"job-{seconds}", now=at(seconds))

    with registry.read() as db:
        assert [job.id for job in jobs.recent(db)] == ["job-3", "job-2", "job-1", "job-0"]
        assert [job.id for job in jobs.recent(db, env="test")] == ["job-3", "job-1", "job-0"]
        assert [job.id for job in jobs.recent(db, lens_id=lens.id)] == ["job-3", "job-0"]
        assert [job.id for job in jobs.recent(db, limit=1)] == ["job-3"]


def test_the_queue_is_counted_by_status(registry: Registry, lens: Lens) -> None:
    # given: in one environment a job in every state, one of them long ended; another elsewhere
    abroad = make_lens(registry, "items", env="other")
    queue(registry, abroad, Mode.FULL, "abroad")
    for number, (status, ended) in enumerate(
        [(JobStatus.COMPLETED, 5), (JobStatus.COMPLETED, 50), (JobStatus.FAILED, 60)]
    ):
        queue(registry, lens, Mode.RECORDS, f"job-{number}")
        start(registry, f"job-{number}")
        with registry.begin() as db:
            jobs.finish(
                db,
                f"job-{number}",
                lease="lease-1",
                status=status,
                counts=Counts(),
                now=at(ended),
            )
    queue(registry, lens, Mode.RECORDS, "runs")
    start(registry, "runs")
    for mode in (Mode.RECORDS, Mode.FULL):
        queue(registry, lens, mode, f"waits-{mode}")

    with registry.read() as db:
        counts = jobs.queue_counts(db, "test", at(50))
        nothing = jobs.queue_counts(db, "no-such", at(50))

    assert counts == QueueCounts(active=1, pending=2, failed=1, completed=1)
    assert nothing == QueueCounts(0, 0, 0, 0)


def test_a_job_is_found_by_the_beginning_of_its_id(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "abc1")
    queue(registry, lens, Mode.FULL, "abc123")

    with registry.read() as db:
        assert jobs.find(db, "test", "abc12").id == "abc123"
        assert jobs.find(db, "test", "abc1").id == "abc1"
    with pytest.raises(NotFound, match="More than one"), registry.read() as db:
        jobs.find(db, "test", "ab")
    with pytest.raises(NotFound, match="There is no job '%'"), registry.read() as db:
        jobs.find(db, "test", "%")
    with pytest.raises(NotFound, match="in 'other'"), registry.read() as db:
        jobs.find(db, "other", "abc123")


def test_a_job_that_is_not_there_is_said_so(registry: Registry) -> None:
    with pytest.raises(NotFound, match="There is no job 'nope'"), registry.read() as db:
        jobs.get(db, "nope")


def test_a_completed_walk_tells_when_it_began(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.INCREMENTAL, "job-1")
    queue(registry, lens, Mode.SMART_SYNC, "job-2")

    def began(*modes: Mode) -> datetime | None:
        with registry.read() as db:
            return jobs.last_began(db, lens.id, modes)

    start(registry, "job-1")
    assert began(Mode.INCREMENTAL) is None
    end(registry, "job-1", JobStatus.COMPLETED)
    assert began(Mode.INCREMENTAL, Mode.SMART_SYNC) == NOW
    start(registry, "job-2")
    end(registry, "job-2", JobStatus.FAILED)
    assert began(Mode.SMART_SYNC) is None


def test_a_full_ingest_began_with_its_index_however_late_it_went_on(
    registry: Registry, lens: Lens
) -> None:
    # given an index that was begun by a job, and is filled and published by a later one
    generation = build(registry, lens, now=at(-600))
    queue(registry, lens, Mode.FULL, "job-1")
    with registry.begin() as db:
        jobs.join(db, "job-1", run_id=None, now=at(600))
        generations.publish(db, generation.id, at(700))
    end(registry, "job-1", JobStatus.COMPLETED, lease=None)

    with registry.read() as db:
        assert jobs.last_began(db, lens.id, [Mode.FULL]) == at(-600)
