"""Every step of a job on its way, from queued to ended.

Every step is a compare-and-set that tells whether it was made, so that two processes cannot both
make it; a run whose lease was taken over gets `False` and must write nothing more.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, null, update
from sqlalchemy.exc import IntegrityError

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import TERMINAL_STATUSES, JobStatus, Mode
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.jobs.job import (
    EXCLUSIVE_MODES,
    Job,
)
from semilayer_pipelines.registry.jobs.queries import get

__all__ = ["beat", "finish", "heartbeat", "join", "requeue", "retry", "take"]

_jobs = tables.jobs.c

SUPERSEDED = "A newer job of the same kind was queued meanwhile and does its work."


def take(
    db: Connection, job_id: str, *, lease: str, run_id: str | None, now: datetime
) -> Job | None:
    """Start a queued job under a lease, and free its slot unless it is a full ingest.

    Returns `None` when it is not queued, or is a sweep and another sweep of the lens is running.
    """
    sweeps = _jobs.mode.in_(EXCLUSIVE_MODES)
    try:
        with db.begin_nested():
            taken = _moved(
                db,
                and_(_jobs.id == job_id, _queued()),
                status=JobStatus.RUNNING,
                lease=lease,
                run_id=run_id,
                started_at=now,
                heartbeat_at=now,
                slot=case((_jobs.mode == Mode.FULL, _jobs.slot), else_=null()),
                sweep_slot=case((sweeps, _jobs.lens_id), else_=null()),
            )
    except IntegrityError:
        return None  # the sweep slot is unique and taken
    return get(db, job_id) if taken else None


def join(db: Connection, job_id: str, *, run_id: str | None, now: datetime) -> Job | None:
    """Start a full ingest, or join the runs that are at it; `None` when it is over.

    It has no lease: its shards have. `run_id` of the job stays that of the first run.
    """
    open_ = _jobs.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
    joined = _moved(
        db,
        and_(_jobs.id == job_id, _jobs.mode == Mode.FULL, open_),
        status=JobStatus.RUNNING,
        lease=None,
        run_id=func.coalesce(_jobs.run_id, run_id),
        started_at=case((_queued(), now), else_=_jobs.started_at),
        heartbeat_at=now,
    )
    return get(db, job_id) if joined else None


def beat(db: Connection, job_id: str, now: datetime) -> bool:
    """Give a sign of life for a job without a lease; return whether it is still running."""
    return _moved(db, _held(job_id, None), heartbeat_at=now)


def heartbeat(db: Connection, job_id: str, *, lease: str, counts: Counts, now: datetime) -> bool:
    """Renew a lease and note the run's numbers so far; `False`: fenced."""
    return _moved(db, _held(job_id, lease), heartbeat_at=now, counts=counts)


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
    return _moved(
        db,
        _held(job_id, lease),
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
    held = _held(job_id, lease)
    return _queue_again(
        db, held, now, due_at=due_at, error=error, cure=None, attempt=_jobs.attempt + 1
    )


def requeue(db: Connection, job_id: str, *, lease: str | None, now: datetime) -> bool:
    """Queue a job that was paused, due as soon as its lens runs again; `False`: fenced.

    Like `retry`, without counting an attempt.
    """
    return _queue_again(db, _held(job_id, lease), now, due_at=now)


def _queue_again(
    db: Connection, held: ColumnElement[bool], now: datetime, **values: object
) -> bool:
    try:
        with db.begin_nested():
            return _moved(
                db,
                held,
                status=JobStatus.QUEUED,
                slot=_jobs.singleton,
                sweep_slot=None,
                lease=None,
                run_id=None,
                nudged=False,
                **values,
            )
    except IntegrityError:
        return _moved(
            db,
            held,
            status=JobStatus.CANCELED,
            sweep_slot=None,
            error=SUPERSEDED,
            cure=None,
            ended_at=now,
        )


def _queued() -> ColumnElement[bool]:
    return _jobs.status == JobStatus.QUEUED


def _held(job_id: str, lease: str | None) -> ColumnElement[bool]:
    return and_(
        _jobs.id == job_id,
        _jobs.status == JobStatus.RUNNING,
        _jobs.lease.is_not_distinct_from(lease),
    )


def _moved(db: Connection, which: ColumnElement[bool], **values: object) -> bool:
    return db.execute(update(tables.jobs).where(which).values(**values)).rowcount == 1
