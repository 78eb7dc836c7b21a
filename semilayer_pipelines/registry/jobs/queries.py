"""Questions about jobs; use them through `registry.jobs`. Nothing here writes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, not_, or_, select

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import generations, tables
from semilayer_pipelines.registry.jobs.job import (
    EXCLUSIVE_MODES,
    SELECT_JOB,
    Job,
    job_of,
)
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.registry.time import AHEAD, silent_since

__all__ = [
    "NUDGE_GRACE",
    "QueueCounts",
    "anything_to_do",
    "done_since",
    "due",
    "find",
    "get",
    "holds",
    "is_due",
    "last_began",
    "last_completed",
    "of_run",
    "queue_counts",
    "queued",
    "ready",
    "recent",
    "running",
    "silent",
    "walked_since",
]

_jobs = tables.jobs.c
_generations = tables.generations.c

NUDGE_GRACE = timedelta(seconds=5)
"""How long a due job is left to the service that wanted to launch it."""


FURTHEST = timedelta(days=1)
"""No job is put off for longer: jobs are spread over half a day, and tried again within an hour."""


@dataclass(frozen=True)
class QueueCounts:
    """Jobs of an environment: running, queued, and ended badly or well within a time."""

    active: int
    pending: int
    failed: int
    completed: int


def get(db: Connection, job_id: str) -> Job:
    """Return a job; raise `NotFound` when there is none."""
    row = db.execute(SELECT_JOB.where(_jobs.id == job_id)).one_or_none()
    if row is None:
        raise _not_found(f"There is no job {job_id!r}.")
    return job_of(row)


def find(db: Connection, env: str, start: str) -> Job:
    """Return the job of an environment whose id is, or begins with, `start`.

    Raises `NotFound` when there is none, and when there are several.
    """
    begins = SELECT_JOB.where(
        tables.environments.c.slug == env, _jobs.id.startswith(start, autoescape=True)
    )
    rows = db.execute(begins.order_by(_jobs.id).limit(2)).all()
    if start and len(rows) == 2 and rows[0].id != start:
        raise NotFound(
            f"More than one job's id begins with {start!r}.", cure="Give more of its characters."
        )
    # Every id begins with an empty text.
    if not rows or not start:
        raise _not_found(f"There is no job {start!r} in {env!r}.")
    return job_of(rows[0])


def _not_found(message: str) -> NotFound:
    return NotFound(
        message, cure="Jobs that ended long ago are forgotten, and so are those of removed lenses."
    )


def due(db: Connection, now: datetime) -> list[Job]:
    """Return the jobs to launch now, oldest first: queued, their time come, a run could take them.

    Left out: jobs of paused lenses, all exclusive jobs of a lens but the next, while none runs
    and there is an index, and what was due less than `NUDGE_GRACE` ago and is launched by the
    service that queued it.
    """
    rows = db.execute(SELECT_JOB.where(_to_launch(now)).order_by(_jobs.due_at, _jobs.id))
    return [job_of(row) for row in rows]


def anything_to_do(db: Connection, now: datetime, silent_before: datetime) -> bool:
    """Say in one query whether `due` or `silent` would find a job."""
    ready = select(_jobs.id).select_from(tables.jobs.join(tables.lenses)).where(_to_launch(now))
    return bool(db.scalar(select(or_(ready.exists(), _silent(silent_before).exists()))))


def is_due(db: Connection, job_id: str, now: datetime) -> bool:
    """Say whether a job is queued, its time has come and a run could take it."""
    query = select(_jobs.id).select_from(tables.jobs.join(tables.lenses))
    return db.execute(query.where(_jobs.id == job_id, ready(now))).first() is not None


def _to_launch(now: datetime) -> ColumnElement[bool]:
    left_alone = and_(_jobs.nudged, _jobs.due_at > now - NUDGE_GRACE)
    return and_(ready(now), not_(left_alone))


def ready(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a job is queued, its time has come and a run could take it."""
    other = tables.jobs.alias("other")
    sooner = or_(
        other.c.due_at < _jobs.due_at,
        and_(other.c.due_at == _jobs.due_at, other.c.id < _jobs.id),
    )
    in_the_way = (
        select(other.c.id)
        .where(
            other.c.lens_id == _jobs.lens_id,
            other.c.mode.in_(EXCLUSIVE_MODES),
            or_(
                other.c.status == JobStatus.RUNNING,
                and_(other.c.status == JobStatus.QUEUED, sooner),
            ),
        )
        .exists()
    )
    # There is nothing to sync while the first index is built, or another in the place of the last.
    indexed = or_(
        tables.lenses.c.status != LensStatus.INDEXING,
        select(tables.generations.c.id)
        .where(tables.generations.c.active_slot == _jobs.lens_id)
        .exists(),
    )
    return and_(
        _jobs.status == JobStatus.QUEUED,
        # Queued in the future, or put off for longer than anything is: the clock was set back
        # since, and would keep the job for as long.
        or_(_jobs.due_at <= now, _jobs.created_at > now + AHEAD, _jobs.due_at > now + FURTHEST),
        tables.lenses.c.status != LensStatus.PAUSED,
        or_(_jobs.mode.not_in(EXCLUSIVE_MODES), and_(indexed, ~in_the_way)),
    )


def silent(db: Connection, before: datetime) -> list[Job]:
    """Return running jobs that gave no sign of life since `before`."""
    return [job_of(row) for row in db.execute(_silent(before))]


def _silent(before: datetime) -> Select[Any]:
    silent = silent_since(_jobs.heartbeat_at, before)
    return SELECT_JOB.where(_jobs.status == JobStatus.RUNNING, silent)


def queued(db: Connection, lens_id: int) -> list[Job]:
    """Return the queued jobs of a lens, due or not, the next one first."""
    rows = db.execute(
        SELECT_JOB.where(_jobs.status == JobStatus.QUEUED, _jobs.lens_id == lens_id).order_by(
            _jobs.due_at, _jobs.id
        )
    )
    return [job_of(row) for row in rows]


def of_run(db: Connection, run_id: str) -> list[Job]:
    """Return the jobs that a run has at hand; a full ingest may be several runs'."""
    rows = db.execute(SELECT_JOB.where(_jobs.status == JobStatus.RUNNING, _jobs.run_id == run_id))
    return [job_of(row) for row in rows]


def running(db: Connection, lens_id: int) -> list[Job]:
    """Return the running jobs of a lens, the longest first."""
    rows = db.execute(
        SELECT_JOB.where(_jobs.status == JobStatus.RUNNING, _jobs.lens_id == lens_id).order_by(
            _jobs.started_at, _jobs.id
        )
    )
    return [job_of(row) for row in rows]


def recent(
    db: Connection,
    *,
    env: str | None = None,
    lens_id: int | None = None,
    status: JobStatus | None = None,
    mode: Mode | None = None,
    before: Job | None = None,
    limit: int = 20,
) -> list[Job]:
    """Return jobs, the newest first, of all lenses, of one environment or of one lens.

    `before`: those that are older than this one.
    """
    query = SELECT_JOB.order_by(_jobs.created_at.desc(), _jobs.id.desc()).limit(limit)
    if status is not None:
        query = query.where(_jobs.status == status)
    if mode is not None:
        query = query.where(_jobs.mode == mode)
    if before is not None:
        at_once = and_(_jobs.created_at == before.created_at, _jobs.id < before.id)
        query = query.where(or_(_jobs.created_at < before.created_at, at_once))
    if env is not None:
        query = query.where(tables.environments.c.slug == env)
    if lens_id is not None:
        query = query.where(_jobs.lens_id == lens_id)
    return [job_of(row) for row in db.execute(query)]


def last_completed(
    db: Connection, lens_id: int, modes: Collection[Mode] = tuple(Mode)
) -> Job | None:
    """Return the newest job of a lens, of these modes, that completed; `None` without one."""
    query = SELECT_JOB.where(
        _jobs.lens_id == lens_id, _jobs.status == JobStatus.COMPLETED, _jobs.mode.in_(modes)
    )
    row = db.execute(query.order_by(_jobs.created_at.desc(), _jobs.id.desc()).limit(1)).first()
    return job_of(row) if row else None


def done_since(db: Connection, lens_id: int, since: datetime) -> Counts:
    """Return what the jobs of a lens did together that were made at `since` or later."""
    counts = db.scalars(
        select(_jobs.counts).where(_jobs.lens_id == lens_id, _jobs.created_at >= since)
    )
    return sum(counts, Counts())


def last_began(db: Connection, lens_id: int, modes: Collection[Mode]) -> datetime | None:
    """Return when the last job of these modes began that completed; `None` without one.

    What such a job was to see of the source by then, the index has. A full ingest began with its
    generation: it may have been paused since, gone on where another was stopped, or be forgotten.
    """
    if Mode.FULL not in modes:
        return _last_started(db, lens_id, modes)
    built: datetime | None = db.scalar(
        select(_generations.created_at).where(_generations.active_slot == lens_id)
    )
    others = _last_started(db, lens_id, [mode for mode in modes if mode is not Mode.FULL])
    known = (built or _last_started(db, lens_id, [Mode.FULL]), others)
    return max((at for at in known if at is not None), default=None)


def _last_started(db: Connection, lens_id: int, modes: Collection[Mode]) -> datetime | None:
    started = select(func.max(_jobs.started_at)).where(
        _jobs.lens_id == lens_id,
        _jobs.status == JobStatus.COMPLETED,
        _jobs.mode.in_(modes),
        ~generations.rolled_back_since(lens_id, _jobs.started_at),
    )
    found: datetime | None = db.scalar(started)
    return found


def walked_since(db: Connection, lens_id: int, since: datetime) -> bool:
    """Say whether a job that walks a lens's table and writes to its index was at work since."""
    at_work = or_(
        _jobs.status == JobStatus.RUNNING,
        _jobs.ended_at >= since,
        # It stopped on its way: what it read until then it wrote.
        and_(_jobs.status == JobStatus.QUEUED, _jobs.heartbeat_at >= since),
    )
    # Not by the index of lenses: it may have a month of a lens's jobs, and this is asked each page.
    walk = and_(_jobs.lens_id + 0 == lens_id, _jobs.mode.in_(EXCLUSIVE_MODES))
    return db.execute(select(_jobs.id).where(walk, at_work).limit(1)).first() is not None


def queue_counts(db: Connection, env: str, since: datetime) -> QueueCounts:
    """Count an environment's jobs; failed and completed ones that ended at `since` or later."""
    alive = (JobStatus.QUEUED, JobStatus.RUNNING)
    rows = db.execute(
        select(_jobs.status, func.count().label("number"))
        .select_from(tables.jobs)
        .join(tables.lenses)
        .join(tables.environments)
        .where(
            tables.environments.c.slug == env,
            or_(_jobs.status.in_(alive), _jobs.ended_at >= since),
        )
        .group_by(_jobs.status)
    )
    numbers = {JobStatus(row.status): row.number for row in rows}
    return QueueCounts(
        active=numbers.get(JobStatus.RUNNING, 0),
        pending=numbers.get(JobStatus.QUEUED, 0),
        failed=numbers.get(JobStatus.FAILED, 0),
        completed=numbers.get(JobStatus.COMPLETED, 0),
    )


def holds(db: Connection, job_id: str, lease: str | None) -> bool:
    """Say whether the job is running under this lease."""
    query = select(_jobs.id).where(
        _jobs.id == job_id,
        _jobs.status == JobStatus.RUNNING,
        _jobs.lease.is_not_distinct_from(lease),
    )
    return db.execute(query).first() is not None
