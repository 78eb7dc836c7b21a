"""How a job ends in the registry; what a run makes of how it ended: `ingest.job_outcome`.

A job ends well or badly (`finish`, `fail`, `cancel`), or goes back to the queue (`retry`,
`requeue`). Both the run itself and the sensor that finds the run dead end a job this way. Each is a
compare-and-set: a job that is another run's by now stays as it is, and so does its lens.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection
from sqlalchemy.exc import IntegrityError

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import TERMINAL_STATUSES, JobStatus
from semilayer_pipelines.registry import generations, lenses, tables
from semilayer_pipelines.registry.jobs.job import Job
from semilayer_pipelines.registry.jobs.steps import held, move
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = ["MAX_ATTEMPTS", "cancel", "fail", "finish", "let_rest", "requeue", "retry"]

MAX_ATTEMPTS = 3
"""A job that failed for a passing reason is tried this often before its lens says `error`."""

SUPERSEDED = "A newer job of the same kind was queued meanwhile and does its work."

_jobs = tables.jobs.c


def finish(
    db: Connection,
    job_id: str,
    *,
    lease: str | None,
    status: JobStatus,
    counts: Counts,
    error: str | None = None,
    cure: str | None = None,
    now: datetime,
) -> bool:
    """End a running job and free its slots; `False`: fenced. `lease` is `None` for a full ingest.

    Raises `ValueError` for a status that is no end.
    """
    if status not in TERMINAL_STATUSES:
        raise ValueError(f"a job cannot end {status}")
    return move(
        db,
        held(job_id, lease),
        status=status,
        counts=counts,
        error=error,
        cure=cure,
        slot=None,
        sweep_slot=None,
        ended_at=now,
    )


def retry(
    db: Connection, job_id: str, *, lease: str | None, due_at: datetime, error: str, now: datetime
) -> bool:
    """Queue a running job for another attempt; `False`: fenced.

    Where a newer job of its kind waits already, that one does the work and this one is `canceled`.
    """
    mine = held(job_id, lease)
    return _queue_again(
        db, mine, now, due_at=due_at, error=error, cure=None, attempt=_jobs.attempt + 1
    )


def requeue(db: Connection, job_id: str, *, lease: str | None, now: datetime) -> bool:
    """Queue a job that was paused, due as soon as its lens runs again; `False`: fenced.

    Like `retry`, without counting an attempt.
    """
    return _queue_again(db, held(job_id, lease), now, due_at=now)


def fail(db: Connection, job: Job, *, counts: Counts, error: str, cure: str, now: datetime) -> bool:
    """End a running job as failed and put its lens in `error`; `False`: it is another run's."""
    ended = finish(
        db,
        job.id,
        lease=job.lease,
        status=JobStatus.FAILED,
        counts=counts,
        error=error,
        cure=cure,
        now=now,
    )
    if ended:
        lenses.set_status(db, job.lens_id, LensStatus.ERROR, error=error, cure=cure, now=now)
    return ended


def cancel(db: Connection, job: Job, *, counts: Counts, now: datetime) -> bool:
    """End a running job that a person stopped; `False`: it is another run's."""
    ended = finish(db, job.id, lease=job.lease, status=JobStatus.CANCELED, counts=counts, now=now)
    if ended:
        let_rest(db, job.lens_id, now)
    return ended


def let_rest(db: Connection, lens_id: int, now: datetime) -> None:
    """Take a lens out of `indexing`: it serves what it has, or is paused if it has nothing."""
    if lenses.by_id(db, lens_id).status is LensStatus.INDEXING:
        serving = generations.active(db, lens_id) is not None
        status = LensStatus.READY if serving else LensStatus.PAUSED
        lenses.set_status(db, lens_id, status, now=now)


def _queue_again(
    db: Connection, mine: ColumnElement[bool], now: datetime, **values: object
) -> bool:
    try:
        with db.begin_nested():
            return move(
                db,
                mine,
                status=JobStatus.QUEUED,
                slot=_jobs.singleton,
                sweep_slot=None,
                lease=None,
                run_id=None,
                nudged=False,
                **values,
            )
    except IntegrityError:
        return move(
            db,
            mine,
            status=JobStatus.CANCELED,
            sweep_slot=None,
            error=SUPERSEDED,
            cure=None,
            ended_at=now,
        )
