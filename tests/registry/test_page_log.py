from __future__ import annotations

from dataclasses import replace

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import jobs, page_log
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.generation import Generation
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.page_log import LoggedPage
from tests.registry.given import at, build, queue, start


def note(registry: Registry, job_id: str, page: int) -> None:
    with registry.begin() as db:
        page_log.record(
            db,
            job_id,
            shard=1,
            page=page,
            rows=100,
            counts=Counts(read=100, written=page),
            seconds=0.25,
            cursor=f"c{page}",
            now=at(page),
        )


@pytest.fixture(autouse=True)
def three_pages(registry: Registry, lens: Lens) -> None:
    """Three pages of one job, one of another."""
    queue(registry, lens, Mode.FULL, "job-1")
    queue(registry, lens, Mode.RECORDS, "job-2")
    for page in (1, 2, 3):
        note(registry, "job-1", page)
    note(registry, "job-2", 9)


def test_the_last_pages_of_a_job_come_first(registry: Registry) -> None:
    with registry.read() as db:
        last = page_log.of_job(db, "job-1", 2)

    assert [page.page for page in last] == [3, 2]
    assert last[0] == LoggedPage(1, 3, 100, Counts(read=100, written=3), 0.25, "c3", at(3))


def test_the_pages_of_a_job_add_up(registry: Registry) -> None:
    with registry.read() as db:
        assert page_log.total(db, "job-1") == Counts(read=300, written=6)
        assert page_log.total(db, "no such job") == Counts()


def test_old_pages_are_pruned(registry: Registry) -> None:
    with registry.begin() as db:
        assert page_log.prune(db, at(3), limit=1) == 1
        assert [page.page for page in page_log.of_job(db, "job-1", 9)] == [3, 2]
        assert page_log.prune(db, at(3), limit=9) == 1
        assert [page.page for page in page_log.of_job(db, "job-1", 9)] == [3]
        assert [page.page for page in page_log.of_job(db, "job-2", 9)] == [9]


def test_a_time_tells_the_job_that_was_at_work_then(registry: Registry, lens: Lens) -> None:
    # given two jobs that began at the same time, with pages of 0.25 s that ended at 1, 2, 3 and 9
    with registry.begin() as db:
        jobs.join(db, "job-1", run_id=None, now=at(0))
    start(registry, "job-2")

    built = build(registry, lens, job_id="job-1")

    def job_at(seconds: float, generation: Generation = built) -> str | None:
        with registry.read() as db:
            return page_log.job_at(db, generation, at(seconds))

    assert job_at(1.9) == "job-1"
    assert job_at(8.9) == "job-2"
    assert job_at(5) is None  # nobody's page
    assert job_at(10) is None  # forgotten

    # and of a generation that another job built, only what was written before it was published
    other = replace(built, job_id="another full ingest", published_at=at(2.9))
    assert job_at(1.9, other) is None
    with registry.begin() as db:
        jobs.finish(
            db, "job-1", lease=None, status=JobStatus.CANCELED, counts=Counts(), now=at(2.5)
        )
    assert job_at(1.9, other) == "job-1"
    assert job_at(1.9, replace(other, published_at=at(1))) is None
    assert job_at(1.9, replace(other, created_at=at(2))) is None


def test_a_job_that_went_on_later_was_at_work_before_that_too(
    registry: Registry, lens: Lens
) -> None:
    # given a job whose pages ended at 1, 2 and 3, and that is taken again at 100
    generation = build(registry, lens, job_id="job-1")
    with registry.begin() as db:
        jobs.join(db, "job-1", run_id=None, now=at(0))
        jobs.requeue(db, "job-1", lease=None, now=at(4))
        jobs.join(db, "job-1", run_id=None, now=at(100))

    with registry.read() as db:
        assert page_log.job_at(db, generation, at(1.9)) == "job-1"


def test_the_rates_of_jobs_that_work_side_by_side_add_up(registry: Registry) -> None:
    # given pages of 100 rows that took 0.25 s each, and ended a second after one another
    def rate(*job_ids: str, since: float) -> float:
        with registry.read() as db:
            return page_log.rate(db, job_ids, at(since))

    assert rate("job-1", since=3) == 400
    assert rate("job-1", since=2) == 200 / 1.25
    assert rate("job-1", "job-2", since=3) == 800
    assert rate("job-1", since=4) == 0
    assert rate(since=0) == 0
