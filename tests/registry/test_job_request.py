from __future__ import annotations

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.registry import jobs, lenses
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, ask, at, end, get, queue, start

NOT_FULL = [mode for mode in Mode if mode is not Mode.FULL]


@pytest.mark.parametrize(
    ("mode", "shard", "key"),
    [
        (Mode.FULL, None, "full:test:items"),
        (Mode.INCREMENTAL, None, "inc:test:items"),
        (Mode.RECORDS, None, "rec:test:items"),
        (Mode.SMART_SYNC, None, "sync:test:items"),
        (Mode.REPAIR, 3, "rep:test:items:3"),
    ],
)
def test_singleton_keys(mode: Mode, shard: int | None, key: str) -> None:
    assert jobs.singleton_key(mode, "test", "items", shard) == key


def test_a_job_that_was_asked_for_is_queued(registry: Registry, lens: Lens) -> None:
    asked = ask(registry, lens, Mode.REPAIR, "job-1", shard=2, due_at=at(5), confirmed=True)

    assert not asked.deduplicated
    assert asked.job == get(registry, "job-1")
    assert asked.job == Job(
        id="job-1",
        lens_id=lens.id,
        env="test",
        lens="items",
        mode=Mode.REPAIR,
        shard=2,
        singleton="rep:test:items:2",
        status=JobStatus.QUEUED,
        origin="test",
        run_id=None,
        lease=None,
        counts=Counts(),
        error=None,
        cure=None,
        created_at=NOW,
        due_at=at(5),
        started_at=None,
        ended_at=None,
        heartbeat_at=None,
        attempt=1,
        confirmed=True,
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_a_second_one_while_queued_is_the_first(registry: Registry, lens: Lens, mode: Mode) -> None:
    ask(registry, lens, mode, "job-1", shard=0, due_at=at(5))

    again = ask(registry, lens, mode, "job-2", shard=0, due_at=at(500))

    assert (again.deduplicated, again.job.id, again.job.due_at) == (True, "job-1", at(5))


@pytest.mark.parametrize("mode", NOT_FULL)
def test_while_one_runs_the_next_may_be_queued(registry: Registry, lens: Lens, mode: Mode) -> None:
    queue(registry, lens, mode, "job-1", shard=0)
    start(registry, "job-1")

    asked = ask(registry, lens, mode, "job-2", shard=0)

    assert (asked.deduplicated, asked.job.id) == (False, "job-2")


def test_a_running_full_ingest_is_the_only_one(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.FULL, "job-1")
    with registry.begin() as db:
        jobs.join(db, "job-1", run_id="run-1", now=NOW)

    while_running = ask(registry, lens, Mode.FULL, "job-2")
    end(registry, "job-1", JobStatus.COMPLETED, lease=None)
    afterwards = ask(registry, lens, Mode.FULL, "job-3")

    assert (while_running.deduplicated, while_running.job.id) == (True, "job-1")
    assert (afterwards.deduplicated, afterwards.job.id) == (False, "job-3")


def test_asking_again_with_the_same_id_makes_nothing_new(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")
    start(registry, "job-1")

    again = ask(registry, lens, Mode.RECORDS, "job-1")

    assert (again.deduplicated, again.job.status) == (True, JobStatus.RUNNING)


def test_a_confirmation_is_passed_on_to_the_job_that_waits(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.SMART_SYNC, "job-1")

    again = ask(registry, lens, Mode.SMART_SYNC, "job-2", confirmed=True)

    assert (again.job.id, again.job.confirmed) == ("job-1", True)


def test_a_confirmation_does_not_reach_a_job_that_runs(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.FULL, "job-1")
    start(registry, "job-1")

    again = ask(registry, lens, Mode.FULL, "job-2", confirmed=True)

    assert (again.job.id, again.job.confirmed) == ("job-1", False)


def test_a_lens_that_was_removed_gets_no_job(registry: Registry, lens: Lens) -> None:
    with registry.begin() as db:
        lenses.remove(db, lens.id)

    with pytest.raises(NotFound, match="lens 'items': It was removed"):
        ask(registry, lens, Mode.FULL, "job-1")


def test_only_a_queued_job_is_canceled_and_makes_room(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.FULL, "waits")
    queue(registry, lens, Mode.RECORDS, "runs")
    start(registry, "runs")

    with registry.begin() as db:
        assert jobs.cancel(db, "waits", at(2))
        assert not jobs.cancel(db, "waits", at(3))
        assert not jobs.cancel(db, "runs", at(3))

    assert get(registry, "waits").ended_at == at(2)
    assert not ask(registry, lens, Mode.FULL, "next").deduplicated


def test_a_queued_job_is_postponed_or_launched_anew(registry: Registry, lens: Lens) -> None:
    queue(registry, lens, Mode.RECORDS, "job-1")

    with registry.begin() as db:
        assert jobs.postpone(db, "job-1", at(2))
        postponed = jobs.get(db, "job-1")
        anew = jobs.relaunch(db, "job-1", at(90))
    start(registry, "job-1")

    assert (postponed.due_at, anew.due_at) == (at(2), at(90))
    with registry.begin() as db:
        assert not jobs.postpone(db, "job-1", at(5))
        assert jobs.relaunch(db, "job-1", at(99)).due_at == at(90)
