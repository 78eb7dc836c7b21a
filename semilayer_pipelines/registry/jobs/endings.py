"""How a job ends badly, and what that says about its lens.

Both the run that notices it and the sensor that finds the run dead end a job this way. Each is a
compare-and-set: a job that is another run's by now stays as it is, and so does its lens.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import generations, jobs, lenses
from semilayer_pipelines.registry.jobs import Job, JobStatus
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = ["MAX_ATTEMPTS", "cancel", "fail", "let_rest"]

MAX_ATTEMPTS = 3
"""A job that failed for a passing reason is tried this often before its lens says `error`."""


def fail(db: Connection, job: Job, *, counts: Counts, error: str, cure: str, now: datetime) -> bool:
    """End a running job as failed and put its lens in `error`; `False`: it is another run's."""
    ended = jobs.finish(
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
    ended = jobs.finish(
        db, job.id, lease=job.lease, status=JobStatus.CANCELED, counts=counts, now=now
    )
    if ended:
        let_rest(db, job.lens_id, now)
    return ended


def let_rest(db: Connection, lens_id: int, now: datetime) -> None:
    """Take a lens out of `indexing`: it serves what it has, or is paused if it has nothing."""
    if lenses.by_id(db, lens_id).status is LensStatus.INDEXING:
        serving = generations.active(db, lens_id) is not None
        status = LensStatus.READY if serving else LensStatus.PAUSED
        lenses.set_status(db, lens_id, status, now=now)
