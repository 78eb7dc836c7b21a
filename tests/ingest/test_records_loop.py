from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest import records_loop
from semilayer_pipelines.ingest.records_loop import run_records_loop
from semilayer_pipelines.ingest.run_job import RunEnd
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.lab import ENV, Lab


def push_change(lab: Lab, key: str, action: Action = Action.UPSERT, *, delay: float = 0.0) -> str:
    now = lab.project.clock()
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [(key, action)], now)
        return jobs.request(
            db,
            lab.lens,
            Mode.RECORDS,
            job_id=uuid4().hex,
            origin="test",
            now=now,
            due_at=now + timedelta(seconds=delay),
        ).job.id


def test_a_lingering_run_does_the_jobs_that_come_while_it_stays(tmp_path: Path) -> None:
    # given an index, and a change that a run is about to apply
    lab = Lab.at(tmp_path, rows=50)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'first' WHERE id = 1")
    first = push_change(lab, "1")

    # when another one comes while that run lingers
    def later() -> None:
        with lab.source() as db:
            db.execute("DELETE FROM items WHERE id = 2")
        push_change(lab, "2", Action.DELETE, delay=0.3)

    timer = threading.Timer(0.5, later)
    timer.start()
    stay = run_records_loop(lab.project, first, idle_seconds=3)
    timer.join()

    # then the same run has applied both
    assert (stay.jobs, stay.counts.written, stay.counts.deleted) == (2, 1, 1)
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        done = [job.status for job in jobs.recent(db, env=ENV) if job.mode is Mode.RECORDS]
    assert done == [JobStatus.COMPLETED] * 2


def test_a_job_is_not_taken_before_its_debounce_is_over(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=10)
    lab.full()
    first = push_change(lab, "1")
    lab.run(next_job(lab, first))
    second = push_change(lab, "2", delay=60)

    stay = run_records_loop(lab.project, push_repair(lab), idle_seconds=0.5)

    assert stay.jobs == 1
    assert next_job(lab, second).status is JobStatus.QUEUED


def test_pausing_the_lens_ends_the_stay(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=10)
    lab.full()
    first = push_change(lab, "1")
    lifecycle.pause(lab.project, ENV, "items")

    stay = run_records_loop(lab.project, first, idle_seconds=30)

    assert stay.last.ended is RunEnd.PAUSED
    with lab.project.registry.read() as db:
        assert changes.buffered(db, lab.lens.id) == 1


class Terminated(BaseException):
    """As Dagster's interrupt: no `Exception`."""


@contextmanager
def terminated_once_done(lab: Lab, job_id: str) -> Iterator[None]:
    """Send this process a signal, which interrupts it as Dagster does, when the job is done."""

    def interrupt(*_: object) -> None:
        raise Terminated

    def watch() -> None:
        while next_job(lab, job_id).status is not JobStatus.COMPLETED:
            time.sleep(0.05)
        time.sleep(2 * records_loop.POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        watching.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_shutdown_that_finds_the_run_idle_is_no_failure(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=10)
    lab.full()
    first = push_change(lab, "1")

    with terminated_once_done(lab, first):
        stay = run_records_loop(lab.project, first, was_cancelled=lambda: False, idle_seconds=30)

    assert (stay.jobs, stay.last.ended) == (1, RunEnd.COMPLETED)
    assert next_job(lab, first).status is JobStatus.COMPLETED


def test_who_cancels_an_idle_run_gets_it_cancelled(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=10)
    lab.full()
    first = push_change(lab, "1")

    with pytest.raises(Terminated), terminated_once_done(lab, first):
        run_records_loop(lab.project, first, was_cancelled=lambda: True, idle_seconds=30)

    assert next_job(lab, first).status is JobStatus.COMPLETED


def next_job(lab: Lab, job_id: str) -> jobs.Job:
    with lab.project.registry.read() as db:
        return jobs.get(db, job_id)


def push_repair(lab: Lab) -> str:
    """Return a job that is not of records, so that it has no place in common with one."""
    return lab.request(Mode.SMART_SYNC).id
