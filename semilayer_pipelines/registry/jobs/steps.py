"""Every step of a job under way: how a run takes it, joins it and shows that it is alive.

How it ends stands in `jobs.endings`. Every step is a compare-and-set that tells whether it was
made, so that two processes cannot both make it; a run whose lease was taken over gets `False` and
must write nothing more.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, null, update
from sqlalchemy.exc import IntegrityError

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.jobs.job import (
    EXCLUSIVE_MODES,
    Job,
)
from semilayer_pipelines.registry.jobs.queries import get

__all__ = ["beat", "heartbeat", "held", "join", "move", "take"]

_jobs = tables.jobs.c


def take(
    db: Connection, job_id: str, *, lease: str, run_id: str | None, now: datetime
) -> Job | None:
    """Start a queued job under a lease, and free its slot unless it is a full ingest.

    Returns `None` when it is not queued, or another exclusive job of its lens runs.
    """
    exclusive = _jobs.mode.in_(EXCLUSIVE_MODES)
    try:
        with db.begin_nested():
            taken = move(
                db,
                and_(_jobs.id == job_id, _queued()),
                status=JobStatus.RUNNING,
                lease=lease,
                run_id=run_id,
                started_at=now,
                heartbeat_at=now,
                slot=case((_jobs.mode == Mode.FULL, _jobs.slot), else_=null()),
                sweep_slot=case((exclusive, _jobs.lens_id), else_=null()),
            )
    except IntegrityError:
        return None  # the sweep slot is unique and taken
    return get(db, job_id) if taken else None


def join(db: Connection, job_id: str, *, run_id: str | None, now: datetime) -> Job | None:
    """Start a full ingest, or join the runs that are at it; `None` when it is over.

    It has no lease: its shards have. `run_id` of the job stays that of the first run.
    """
    open_ = _jobs.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
    joined = move(
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
    return move(db, held(job_id, None), heartbeat_at=now)


def heartbeat(db: Connection, job_id: str, *, lease: str, counts: Counts, now: datetime) -> bool:
    """Renew a lease and note the run's numbers so far; `False`: fenced."""
    return move(db, held(job_id, lease), heartbeat_at=now, counts=counts)


def _queued() -> ColumnElement[bool]:
    return _jobs.status == JobStatus.QUEUED


def held(job_id: str, lease: str | None) -> ColumnElement[bool]:
    """Return the condition that a job is running under this lease."""
    return and_(
        _jobs.id == job_id,
        _jobs.status == JobStatus.RUNNING,
        _jobs.lease.is_not_distinct_from(lease),
    )


def move(db: Connection, which: ColumnElement[bool], **values: object) -> bool:
    """Change the job that a condition names; return whether it still held."""
    return db.execute(update(tables.jobs).where(which).values(**values)).rowcount == 1
