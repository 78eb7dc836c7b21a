"""How a lens or a job stands, as the registry knows it; no store, source or model is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.as_of import as_of
from semilayer_pipelines.queries.failing import Failing, failing_of
from semilayer_pipelines.registry import (
    batches,
    changes,
    cursors,
    failed_rows,
    generations,
    jobs,
    lenses,
    page_log,
    shards,
)
from semilayer_pipelines.registry.batches import Awaited
from semilayer_pipelines.registry.cursors import IncrementalCursor
from semilayer_pipelines.registry.failed_rows import FailedRow
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus

__all__ = [
    "AS_IT_WAS_BUILT",
    "WALKS",
    "WHOLE_WALKS",
    "JobState",
    "LensState",
    "job_state",
    "lens_state",
    "read_lens",
    "require_syncable",
]

AS_IT_WAS_BUILT = (
    "its model, key, table, fields or the types of its columns changed, and its index is kept as "
    "it was built. Rebuild it:"
)
"""Said where rows are brought into an index that needs a rebuild (invariant 9)."""

WALKS = (Mode.FULL, Mode.INCREMENTAL, Mode.SMART_SYNC)
"""Modes that look at the whole table, each in its way."""

WHOLE_WALKS = (Mode.FULL, Mode.SMART_SYNC)
"""Modes that look at every row."""

RATE_OVER = timedelta(seconds=60)
"""Pages that count for the rate of what is running."""

MAX_FAILED = 100
"""Failed rows that are told with a job."""


@dataclass(frozen=True)
class LensState:
    """A lens and what goes on about it.

    `buffered` are changes that are not applied; `awaited` of them named rows that were not there
    and are looked for again. `lag_seconds` is the age of the oldest, 0 without one. `running` are
    its running jobs, which read `rate` rows a second; `last` is the newest of all its jobs, and
    `completed` the newest that completed.

    `as_of`: whatever the source had then, a completed walk has brought in; of an incremental walk,
    all but deletes and rows whose tracked value did not move. A schedule that found nothing to read
    counts as one. `None` before the first. `failing` tells of a lens in `error` what comes next.
    `textless` rows had no text when all were looked at last, and are left out of the search.
    `batches` are what its full ingest waits for.
    """

    lens: Lens
    active: Generation | None
    buffered: int
    awaited: int
    lag_seconds: float
    failed: int
    cursor: IncrementalCursor | None
    running: tuple[Job, ...]
    last: Job | None
    completed: Job | None
    as_of: datetime | None
    rate: float
    failing: Failing | None = None
    textless: int = 0
    batches: Awaited | None = None


@dataclass(frozen=True)
class JobState:
    """A job, what it did so far, and the rows that it set aside last."""

    job: Job
    counts: Counts
    failed: tuple[FailedRow, ...]


def read_lens(project: Project, lens: str, *, env: str | None = None) -> LensState:
    """Return how a lens stands; `env` is the environment, by default the project's.

    Raises `NotFound`.
    """
    with project.registry.read() as db:
        return lens_state(db, lenses.get(db, env or project.settings.env, lens), project.clock())


def lens_state(db: Connection, lens: Lens, now: datetime) -> LensState:
    """Return how a lens stands."""
    since = changes.waiting_since(db, lens.id)
    running = jobs.running(db, lens.id)
    whole = jobs.last_completed(db, lens.id, WHOLE_WALKS)
    return LensState(
        lens=lens,
        active=generations.active(db, lens.id),
        buffered=changes.buffered(db, lens.id),
        awaited=changes.awaited(db, lens.id),
        lag_seconds=max(0.0, (now - since).total_seconds()) if since else 0.0,
        failed=failed_rows.count(db, lens.id),
        cursor=cursors.get(db, lens.id),
        running=tuple(running),
        last=next(iter(jobs.recent(db, lens_id=lens.id, limit=1)), None),
        completed=jobs.last_completed(db, lens.id),
        as_of=as_of(db, lens.id, WALKS),
        rate=page_log.rate(db, [job.id for job in running], now - RATE_OVER) if running else 0.0,
        failing=failing_of(db, lens),
        textless=whole.counts.textless if whole else 0,
        batches=batches.awaited(db, lens.id) if lens.config.embedding.batch else None,
    )


def require_syncable(db: Connection, env: str, name: str) -> Lens:
    """Return a lens that has an index and runs; raise `NotFound`, or `Refused` with the reason."""
    lens = lenses.get(db, env, name)
    if lens.status is LensStatus.PAUSED or generations.active(db, lens.id) is None:
        why = "is paused" if lens.status is LensStatus.PAUSED else "has no index yet"
        raise Refused(
            f"It {why}, so there is nothing to sync.",
            cure=f"`semilayer resume --lens {name}`",
            lens=name,
        )
    return lens


def job_state(db: Connection, job: Job) -> JobState:
    """Return how a job stands; a running full ingest is the sum of its shards."""
    counts = job.counts
    if job.mode is Mode.FULL and job.status is JobStatus.RUNNING:
        building = generations.building(db, job.lens_id)
        if building is not None and building.job_id == job.id:
            counts = sum((s.counts for s in shards.list_all(db, building.id)), Counts())
    failed = failed_rows.list_all(db, job.lens_id, MAX_FAILED, job_id=job.id)
    return JobState(job, counts, tuple(failed))
