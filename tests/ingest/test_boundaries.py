"""A run that dies between two pages of a walk, in any mode, leaves nothing that is not mended."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest import records
from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.orchestration.recovery import close_silent
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.jobs.endings import MAX_ATTEMPTS
from semilayer_pipelines.registry.lenses import LensStatus
from tests.clock import Clock
from tests.lab import ENV, Lab
from tests.mortal import Died, Life, dies_at, mortal

PAGES, PAGE_ROWS = 50, 20
ROWS = PAGES * PAGE_ROWS
MODES = (Mode.FULL, Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS)
SHORT = PAGES // 2
"""The boundary that the default run tries; the slow one tries all."""

PAGE_READ = {"source.read_page", "source.read_changed", "source.read_rows"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Give a lens of which every row changed, and was named; walks of it have 50 pages."""
    monkeypatch.setattr(records, "CLAIM_ROWS", PAGE_ROWS)
    made = Lab.at(tmp_path, rows=ROWS, embedding={"provider": "hash", "dimensions": 8})
    made.full()
    lab = Lab(Project(made.project.settings, {}, Clock(made.project.clock())), tmp_path)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id, updated_at = '2024-05-05 00:00:00'")
    with lab.project.registry.begin() as db:
        named = [(str(n), Action.UPSERT) for n in range(1, ROWS + 1)]
        changes.append(db, lab.lens.id, named, lab.project.clock())
    return lab


def job_of(lab: Lab, mode: Mode) -> Job:
    full = mode is Mode.FULL
    return lifecycle.request_rebuild(lab.project, ENV, "items") if full else lab.request(mode)


def dies_before_page(lab: Lab, job: Job, page: int) -> None:
    """Run a job in a process that dies, without a word, when it is about to read its n-th page."""
    life = dies_at(page, lambda what: what in PAGE_READ)
    with pytest.raises(Died):
        run_job(mortal(lab.project, life, page_rows=PAGE_ROWS), job.id)


def found_by_the_sensor(lab: Lab) -> None:
    """Let the lease run out, and do what the sensor does then."""
    clock = lab.project.clock
    assert isinstance(clock, Clock)
    clock.now += SILENCE + timedelta(seconds=1)
    instance = dg.DagsterInstance.ephemeral()
    with lab.project.registry.read() as db:
        silent = jobs.silent(db, clock() - SILENCE)
    assert len(silent) == 1
    for job in silent:
        close_silent(instance, lab.project, job)
    instance.dispose()


def row_of(lab: Lab, job: Job) -> Job:
    with lab.project.registry.read() as db:
        return jobs.get(db, job.id)


def dies_and_is_done_again(lab: Lab, mode: Mode, page: int) -> None:
    job = job_of(lab, mode)

    dies_before_page(lab, job, page)
    found_by_the_sensor(lab)

    now = row_of(lab, job)
    assert (now.status, now.attempt) == (JobStatus.QUEUED, 2)
    done = run_job(mortal(lab.project, Life(lambda *_: None), page_rows=PAGE_ROWS), job.id)
    assert done.ended is RunEnd.COMPLETED
    assert lab.audit().clean
    assert lab.lens.status is LensStatus.READY
    if mode is Mode.RECORDS:
        with lab.project.registry.read() as db:
            assert changes.buffered(db, lab.lens.id) == 0


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.RECORDS])
def test_a_run_that_dies_at_a_page_is_noticed_and_done_again(lab: Lab, mode: Mode) -> None:
    dies_and_is_done_again(lab, mode, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("page", range(1, PAGES + 1))
def test_a_run_that_dies_at_any_page_is_noticed_and_done_again(
    lab: Lab, mode: Mode, page: int
) -> None:
    dies_and_is_done_again(lab, mode, page)


@pytest.mark.parametrize(
    "mode", [Mode.FULL, *(pytest.param(m, marks=pytest.mark.slow) for m in MODES[2:])]
)
def test_what_was_written_before_a_death_is_not_read_again(lab: Lab, mode: Mode) -> None:
    job = job_of(lab, mode)
    dies_before_page(lab, job, PAGES // 2)
    found_by_the_sensor(lab)

    counts = run_job(mortal(lab.project, Life(lambda *_: None)), job.id).counts

    # Of the cursor's own moment, all rows of it are looked at once more: here that is every row.
    if mode is not Mode.INCREMENTAL:
        # And while a page was written, the next one was under way.
        assert counts.read <= ROWS // 2 + 2 * PAGE_ROWS
    assert counts.embedded + counts.reused <= ROWS // 2 + 2 * PAGE_ROWS


@pytest.mark.parametrize(
    "mode", [MODES[0], *(pytest.param(m, marks=pytest.mark.slow) for m in MODES[1:])]
)
def test_a_run_that_dies_again_and_again_ends_in_an_error_and_not_in_indexing(
    lab: Lab, mode: Mode
) -> None:
    job = job_of(lab, mode)

    for _ in range(MAX_ATTEMPTS):
        dies_before_page(lab, job, 1)
        found_by_the_sensor(lab)

    assert (row_of(lab, job).status, row_of(lab, job).attempt) == (JobStatus.QUEUED, 4)
    failing = lab.lens
    assert failing.status is LensStatus.ERROR
    assert "semilayer resume" in (failing.cure or "")

    # when it is resumed, then what failed is done
    again = lifecycle.resume(lab.project, ENV, "items").job
    assert again is not None
    assert again.mode is mode
    lab.run(again)
    assert lab.audit().clean
    assert lab.lens.status is LensStatus.READY
