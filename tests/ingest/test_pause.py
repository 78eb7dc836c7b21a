"""Pausing ends a run after its page, in every mode; an interrupt at once; both lose nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import EmbedderUnavailable, Transient
from semilayer_pipelines.ingest.lens_watch import PAUSE_CHECK_SECONDS
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import changes, jobs, page_log, shards
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.jobs.endings import MAX_ATTEMPTS
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.registry.shards import ShardStatus
from tests.gate import Gate
from tests.ingest.worker import work
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.processes import Child


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Give a lens whose every row changed since it was indexed, and was named to the webhook."""
    lab = Lab.at(tmp_path, rows=1_500)
    lab.full()
    everything_changed(lab)
    return lab


def everything_changed(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id, updated_at = '2024-05-05 00:00:00'")
    with lab.project.registry.begin() as db:
        named = [(str(n), Action.UPSERT) for n in range(1, 1_501)]
        changes.append(db, lab.lens.id, named, lab.project.clock())


def job_of(lab: Lab, mode: Mode) -> Job:
    full = mode is Mode.FULL
    return lifecycle.request_rebuild(lab.project, ENV, "items") if full else lab.request(mode)


def status_of(lab: Lab, job: Job) -> JobStatus:
    with lab.project.registry.read() as db:
        return jobs.get(db, job.id).status


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
def test_a_paused_run_ends_after_its_page_and_resume_brings_the_index_in_line(
    lab: Lab, mode: Mode
) -> None:
    job = job_of(lab, mode)

    def pause(_: Sequence[str]) -> None:
        lifecycle.pause(lab.project, ENV, "items")
        time.sleep(PAUSE_CHECK_SECONDS)

    outcome = run_job(Meddled.of(lab.project, pause), job.id)

    assert outcome.ended is RunEnd.PAUSED
    assert 0 < outcome.counts.read < 1_500
    assert status_of(lab, job) is JobStatus.QUEUED
    assert lab.lens.status is LensStatus.PAUSED

    lifecycle.resume(lab.project, ENV, "items")
    rest = lab.run(job)
    assert rest.ended is RunEnd.COMPLETED
    assert lab.audit().clean
    # and it went on from its place: nothing is done twice
    assert outcome.counts.written + rest.counts.written == 1_500
    if mode in (Mode.FULL, Mode.RECORDS):
        assert outcome.counts.read + rest.counts.read == 1_500


@pytest.mark.parametrize(
    "mode",
    [
        Mode.FULL,
        *(
            pytest.param(mode, marks=pytest.mark.slow)
            for mode in (Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS)
        ),
    ],
)
def test_a_run_of_another_process_hears_of_a_pause_and_keeps_its_place(
    tmp_path: Path, mode: Mode
) -> None:
    # given a process that stands in the middle of a page
    gate = Gate(tmp_path)
    lab = Lab.at(tmp_path, rows=1_500, fields=gate.fields)
    lab.full()
    everything_changed(lab)
    gate.close()
    worker = Child(work, tmp_path, mode, cwd=tmp_path)
    gate.wait_until_reached()

    # when the lens is paused here, and more changes arrive
    lifecycle.pause(lab.project, ENV, "items")
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 1500")
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [("1500", Action.DELETE)], lab.project.clock())
    time.sleep(PAUSE_CHECK_SECONDS)
    gate.open()

    # then it ends after that page, and what is left is done when the lens is resumed
    assert worker.wait() == 0
    with lab.project.registry.read() as db:
        [job] = [j for j in jobs.recent(db, lens_id=lab.lens.id) if j.status is JobStatus.QUEUED]
        pages = page_log.of_job(db, job.id, 10)
    assert (job.mode, len(pages)) == (mode, 1)
    assert lab.lens.status is LensStatus.PAUSED
    lifecycle.resume(lab.project, ENV, "items")
    lab.run(job)
    lab.run(lab.request(Mode.RECORDS))
    assert lab.audit().clean


@pytest.mark.parametrize("mode", [Mode.FULL, Mode.SMART_SYNC, Mode.INCREMENTAL, Mode.RECORDS])
@pytest.mark.parametrize("by_a_person", [True, False])
def test_an_interrupted_run_stops_at_once_and_loses_nothing(
    lab: Lab, mode: Mode, by_a_person: bool
) -> None:
    job = job_of(lab, mode)
    calls: list[int] = []

    def interrupt(_: Sequence[str]) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(Meddled.of(lab.project, interrupt), job.id, was_cancelled=lambda: by_a_person)

    assert status_of(lab, job) is (JobStatus.CANCELED if by_a_person else JobStatus.QUEUED)
    building = lab.building()
    if building is not None:
        with lab.project.registry.read() as db:
            assert {s.status for s in shards.list_all(db, building.id)} == {ShardStatus.PENDING}

    lab.run(job_of(lab, mode) if by_a_person else job)
    assert lab.audit().clean


@pytest.mark.parametrize(
    ("interrupt", "status"),
    [(KeyboardInterrupt, JobStatus.CANCELED), (SystemExit, JobStatus.QUEUED)],
)
def test_without_word_of_who_interrupts_ctrl_c_alone_cancels_the_job(
    lab: Lab, interrupt: type[BaseException], status: JobStatus
) -> None:
    job = job_of(lab, Mode.SMART_SYNC)

    def stop(_: Sequence[str]) -> None:
        raise interrupt

    with pytest.raises(interrupt):
        run_job(Meddled.of(lab.project, stop), job.id)

    assert status_of(lab, job) is status


def test_changes_of_a_cancelled_job_are_applied_with_the_next_sync_at_the_latest(lab: Lab) -> None:
    # given a records job that a person stopped; what it had claimed is in the buffer again
    def interrupt(_: Sequence[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(Meddled.of(lab.project, interrupt), lab.request(Mode.RECORDS).id)

    # when the lens is synced
    lab.sync()

    # then a job is queued for them, though nobody called again
    with lab.project.registry.read() as db:
        asked = jobs.next_small(db, Mode.RECORDS, lab.project.clock())
    assert asked is not None
    lab.run(asked)
    with lab.project.registry.read() as db:
        assert changes.buffered(db, lab.lens.id) == 0
    assert lab.audit().clean


def test_what_may_pass_is_tried_again_with_growing_waits_and_told_as_an_error(lab: Lab) -> None:
    job = lab.request(Mode.SMART_SYNC)
    waits: list[timedelta] = []

    def unavailable(_: Sequence[str]) -> None:
        raise EmbedderUnavailable("The endpoint is down.", cure="Start it.")

    for attempt in range(1, MAX_ATTEMPTS + 3):
        with pytest.raises(Transient):
            run_job(Meddled.of(lab.project, unavailable), job.id)
        with lab.project.registry.read() as db:
            now = jobs.get(db, job.id)
        assert (now.status, now.attempt) == (JobStatus.QUEUED, attempt + 1)
        assert (lab.lens.status is LensStatus.ERROR) == (attempt >= MAX_ATTEMPTS)
        waits.append(now.due_at - lab.project.clock())

    assert waits == sorted(waits)
    assert (lab.lens.status, lab.lens.cure) == (LensStatus.ERROR, "Start it.")


def test_a_second_launch_of_a_job_does_nothing(lab: Lab) -> None:
    job = lab.request(Mode.SMART_SYNC)
    second: list[RunEnd] = []

    def launch_again(_: Sequence[str]) -> None:
        second.append(lab.run(job).ended)

    run_job(Meddled.of(lab.project, launch_again), job.id)
    second.append(lab.run(job).ended)

    assert set(second) == {RunEnd.TAKEN}
    assert lab.audit().clean
