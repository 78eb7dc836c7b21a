"""Leases, heartbeats, due times and windows are counted by the registry's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.registry import call_log, changes, jobs, shards
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.time import MEASURED_FOR_S, RegistryTime
from tests.clock import Clock
from tests.registry.given import at, build, queue

HOUR = timedelta(hours=1)
SILENCE = timedelta(seconds=45)


class Steady:
    """A steady clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_machine_whose_clock_is_wrong_goes_by_the_servers(postgres_registry_url: str) -> None:
    # given a machine an hour ahead, whose clock is set back later
    registry = Registry.open(postgres_registry_url)
    wall, steady = Clock(datetime.now(UTC) + HOUR), Steady()
    told = RegistryTime(wall=wall, steady=steady)
    assert told() == wall.now

    # when the registry was asked
    with registry.engine.connect() as db:
        told.measure(db)

    # then its time counts, and goes on steadily whatever becomes of the machine's
    assert abs(told() - datetime.now(UTC)) < timedelta(seconds=30)
    before = told()
    wall.go_on(-7_200)
    steady.seconds += 5
    assert told() - before == timedelta(seconds=5)
    assert not told.is_due()
    steady.seconds += MEASURED_FOR_S
    assert told.is_due()
    registry.close()


def test_a_project_goes_by_its_registrys_clock(postgres_registry_url: str, tmp_path: Path) -> None:
    environ = {"SEMILAYER_REGISTRY_URL": postgres_registry_url}
    project = Project(Settings.from_environ(environ, tmp_path), environ)
    with project.registry.read():
        pass

    assert not project.registry.time.is_due()
    assert abs(project.clock() - project.registry.time()) < timedelta(seconds=30)
    project.registry.close()


def test_a_project_with_a_clock_of_its_own_keeps_it(tmp_path: Path) -> None:
    clock = Clock()

    assert Project(Settings.from_environ({}, tmp_path), {}, clock).clock() == clock.now


def test_a_run_that_died_on_a_machine_ahead_is_noticed_as_soon_as_any(
    registry: Registry, lens: Lens
) -> None:
    # given a run whose machine was an hour ahead
    queue(registry, lens, Mode.SMART_SYNC, "job-1")
    with registry.begin() as db:
        assert jobs.take(db, "job-1", lease="l", run_id=None, now=at(0) + HOUR)

    with registry.read() as db:
        assert [job.id for job in jobs.silent(db, at(60) - SILENCE)] == ["job-1"]
        assert jobs.anything_to_do(db, at(60), at(60) - SILENCE)

    # and one that is alive, by a clock that is a little ahead, is left alone
    with registry.begin() as db:
        counts = jobs.get(db, "job-1").counts
        assert jobs.heartbeat(db, "job-1", lease="l", counts=counts, now=at(90))
    with registry.read() as db:
        assert jobs.silent(db, at(60) - SILENCE) == []


def test_a_shard_of_such_a_run_can_be_taken_over(registry: Registry, lens: Lens) -> None:
    generation = build(registry, lens)

    def claim(lease: str, now: datetime) -> bool:
        with registry.begin() as db:
            found = shards.claim(
                db,
                generation.id,
                number=None,
                lease=lease,
                run_id=None,
                now=now,
                stale_before=now - timedelta(seconds=30),
            )
        return found is not None

    assert claim("dead", at(0) + HOUR)
    assert claim("next", at(0))
    assert not claim("third", at(5))


def test_a_job_queued_before_the_clock_was_set_back_does_not_wait_for_it(
    registry: Registry, lens: Lens
) -> None:
    with registry.begin() as db:
        now = at(0) + HOUR
        jobs.request(db, lens, Mode.RECORDS, job_id="job-1", origin="t", now=now, due_at=now)

    with registry.read() as db:
        assert [job.id for job in jobs.due(db, at(0))] == ["job-1"]


def test_a_job_that_failed_while_the_clock_was_ahead_does_not_wait_for_it(
    registry: Registry, lens: Lens
) -> None:
    # given a job that was queued before the clock went ahead
    with registry.begin() as db:
        job = jobs.request(db, lens, Mode.SMART_SYNC, job_id="job-1", origin="t", now=at(0)).job
        assert jobs.take(db, job.id, lease="a", run_id=None, now=at(1))
        ahead = at(0) + timedelta(days=400)
        assert jobs.retry(db, job.id, lease="a", due_at=ahead, error="It broke.", now=ahead)

    # when the clock is set back
    with registry.read() as db:
        assert [job.id for job in jobs.due(db, at(60))] == ["job-1"]


@pytest.mark.parametrize("set_back", [timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_is_set_back_shuts_no_limit(
    registry: Registry, lens: Lens, set_back: timedelta
) -> None:
    def call(now: datetime) -> int:
        with registry.begin() as db:
            changes.append(db, lens.id, (), now)
            return call_log.admit(db, lens.id, calls=1, limit=1, now=now).calls

    assert call(at(0) + set_back) == 1
    assert call(at(1) + set_back) == 0

    assert call(at(0)) == 1
    assert call(at(1)) == 0
