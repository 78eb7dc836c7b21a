from __future__ import annotations

import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import page_log
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.registry.page_log import LoggedPage
from tests.registry.given import at, queue


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
        assert page_log.prune(db, at(3)) == 2
        assert [page.page for page in page_log.of_job(db, "job-1", 9)] == [3]
        assert [page.page for page in page_log.of_job(db, "job-2", 9)] == [9]
