"""A day of a lens in a few numbers, as the console draws it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import page_log, quiet, tables
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.history import LensHistory, history
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at, build, make_lens, queue

PERIOD = timedelta(seconds=60)


def page(registry: Registry, job_id: str, seconds: float, rows: int, took: float) -> None:
    with registry.begin() as db:
        page_log.record(
            db,
            job_id,
            shard=1,
            page=1,
            rows=rows,
            counts=Counts(),
            seconds=took,
            cursor=None,
            now=at(seconds),
        )


def completed(registry: Registry, lens: Lens, mode: Mode, began: float, ended: float) -> str:
    job = queue(registry, lens, mode, f"{lens.name}-{began}")
    told = {"status": JobStatus.COMPLETED, "slot": None, "sweep_slot": None}
    with registry.begin() as db:
        row = update(tables.jobs).where(tables.jobs.c.id == job.id)
        db.execute(row.values(started_at=at(began), ended_at=at(ended), **told))
    return job.id


def of(registry: Registry, env: str = "test", now: float = 180) -> dict[int, LensHistory]:
    with registry.read() as db:
        return history(db, env, NOW, PERIOD, 3, at(now))


def test_rows_a_second_are_those_of_the_pages_that_ended_in_a_period(
    registry: Registry, lens: Lens
) -> None:
    job = queue(registry, lens, Mode.FULL, "job-1").id
    page(registry, job, -1, 9_000, 1.0)
    page(registry, job, 1, 100, 1.0)
    page(registry, job, 55, 200, 0.5)
    page(registry, job, 125, 50, 2.0)

    assert of(registry)[lens.id].rates == (200.0, 0.0, 25.0)


def test_a_lens_is_behind_since_its_last_completed_walk_began(
    registry: Registry, lens: Lens
) -> None:
    completed(registry, lens, Mode.FULL, -40, -10)
    completed(registry, lens, Mode.INCREMENTAL, 70, 80)
    completed(registry, lens, Mode.RECORDS, 130, 140)

    assert of(registry, now=150)[lens.id].behind == (100.0, 50.0, 80.0)


def test_a_rebuild_that_went_on_later_is_as_of_its_begin(registry: Registry, lens: Lens) -> None:
    # given a rebuild that began its index, was paused, and went on 100 s later
    job = completed(registry, lens, Mode.FULL, 110, 130)
    build(registry, lens, job_id=job, now=at(10))

    assert of(registry)[lens.id].behind == (None, None, 170.0)


def test_while_nothing_is_written_a_lens_falls_no_further_behind(
    registry: Registry, lens: Lens
) -> None:
    # given a walk that found changes, and one after which a schedule found nothing to read
    completed(registry, lens, Mode.FULL, -40, -10)
    completed(registry, lens, Mode.INCREMENTAL, 70, 80)
    with registry.begin() as db:
        quiet.note(db, [lens.id], Mode.INCREMENTAL, at(130))

    assert of(registry)[lens.id].behind == (100.0, 0.0, 50.0)


def test_before_its_first_walk_nobody_can_say_how_far_a_lens_is_behind(
    registry: Registry, lens: Lens
) -> None:
    completed(registry, lens, Mode.FULL, 10, 130)

    assert of(registry)[lens.id].behind == (None, None, 170.0)


def test_each_environment_has_its_own_history(registry: Registry, lens: Lens) -> None:
    other = make_lens(registry, "elsewhere", env="production")
    completed(registry, lens, Mode.FULL, 10, 20)
    completed(registry, other, Mode.FULL, 10, 20)

    assert list(of(registry)) == [lens.id]
    assert list(of(registry, "production")) == [other.id]
