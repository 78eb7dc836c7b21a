"""What holds when two processes or threads do the same to a job at the same moment."""

from __future__ import annotations

from itertools import chain

import pytest
from sqlalchemy import func, select

from semilayer_pipelines.registry import jobs, lenses, tables
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, queue, start
from tests.registry.race import processes_at_once, threads_at_once

TURNS = 8


def request_in_turns(url: str, number: int) -> list[tuple[str, bool]]:
    registry = Registry.open(url)
    answers = []
    for turn in range(TURNS):
        with registry.begin() as db:
            lens = lenses.get(db, "test", "items")
            asked = jobs.request(
                db,
                lens,
                Mode.REPAIR,
                job_id=f"{number}-{turn}",
                origin="test",
                now=NOW,
                shard=turn,
            )
            answers.append((asked.job.id, asked.deduplicated))
    registry.close()
    return answers


def test_processes_that_ask_at_once_get_one_job(
    registry: Registry, registry_url: str, lens: Lens
) -> None:
    answers = processes_at_once(request_in_turns, registry_url)

    for asked in zip(*answers, strict=True):
        assert len({job_id for job_id, _ in asked}) == 1
        assert [deduplicated for _, deduplicated in asked].count(False) == 1
    with registry.read() as db:
        assert db.scalar(select(func.count()).select_from(tables.jobs)) == TURNS


def take_in_turns(url: str, number: int) -> list[str]:
    registry = Registry.open(url)
    taken = []
    for turn in range(TURNS):
        with registry.begin() as db:
            job = jobs.take(db, f"job-{turn}", lease=f"{number}", run_id=None, now=NOW)
        if job is not None:
            assert job.lease == f"{number}"
            taken.append(job.id)
    registry.close()
    return taken


def test_processes_that_take_at_once_get_a_job_once(
    registry: Registry, registry_url: str, lens: Lens
) -> None:
    for turn in range(TURNS):
        queue(registry, lens, Mode.RECORDS, f"job-{turn}")
        start(registry, f"job-{turn}", "before")  # frees the slot for the next one
    with registry.begin() as db:
        db.execute(tables.jobs.update().values(status=JobStatus.QUEUED, lease=None))

    taken = processes_at_once(take_in_turns, registry_url)

    assert sorted(chain.from_iterable(taken)) == sorted(f"job-{turn}" for turn in range(TURNS))


@pytest.mark.parametrize("turn", range(5))
def test_of_two_sweeps_taken_at_once_one_runs(registry: Registry, lens: Lens, turn: int) -> None:
    modes = [Mode.INCREMENTAL, Mode.SMART_SYNC]
    for mode in modes:
        queue(registry, lens, mode, mode)

    def take(number: int) -> Job | None:
        return start(registry, modes[number], f"lease-{number}")

    assert threads_at_once(take, 2).count(None) == 1
    with registry.read() as db:
        assert len(jobs.running(db, lens.id)) == 1


@pytest.mark.parametrize("turn", range(5))
def test_a_job_is_either_taken_or_canceled(registry: Registry, lens: Lens, turn: int) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")

    def take_or_cancel(number: int) -> bool:
        if number == 0:
            return start(registry, "job-1") is not None
        with registry.begin() as db:
            return jobs.cancel(db, "job-1", at(1))

    assert sorted(threads_at_once(take_or_cancel, 2)) == [False, True]


@pytest.mark.parametrize("turn", range(5))
def test_a_retry_and_a_request_leave_one_job_queued(
    registry: Registry, lens: Lens, turn: int
) -> None:
    queue(registry, lens, Mode.INCREMENTAL, "old")
    start(registry, "old")

    def retry_or_request(number: int) -> bool:
        if number == 1:
            return queue(registry, lens, Mode.INCREMENTAL, "new").id in ("old", "new")
        with registry.begin() as db:
            return jobs.retry(db, "old", lease="lease-1", due_at=at(9), error="no", now=at(1))

    assert threads_at_once(retry_or_request, 2) == [True, True]
    with registry.read() as db:
        states = sorted(job.status for job in jobs.recent(db, lens_id=lens.id))
    assert states.count(JobStatus.QUEUED) == 1
    assert JobStatus.RUNNING not in states


def test_a_reaper_and_a_late_run_do_not_both_end_a_job(registry: Registry, lens: Lens) -> None:
    # given: a run fell silent, and its job was queued again and taken by another run
    queue(registry, lens, Mode.RECORDS, "job-1")
    start(registry, "job-1", "first")
    with registry.begin() as db:
        jobs.retry(db, "job-1", lease="first", due_at=at(5), error="lost", now=at(5))
    start(registry, "job-1", "second")

    # when: the first run comes back
    with registry.begin() as db:
        job = jobs.get(db, "job-1")
        beaten = jobs.heartbeat(db, "job-1", lease="first", counts=job.counts, now=at(6))
        ended = jobs.finish(
            db,
            "job-1",
            lease="first",
            status=JobStatus.COMPLETED,
            counts=job.counts,
            now=at(6),
        )

    # then
    assert (beaten, ended) == (False, False)
    with registry.read() as db:
        assert jobs.holds(db, "job-1", "second")
