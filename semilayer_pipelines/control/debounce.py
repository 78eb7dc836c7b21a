"""Asking for a job that waits for further changes: a burst of them is one job.

The job is due a while after the last change, and not much later than the first one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from semilayer_pipelines.config.intervals import debounce_of
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.jobs.job import OfLens

__all__ = ["request_soon"]

DEBOUNCE = {Mode.FULL: timedelta(0), Mode.INCREMENTAL: timedelta(seconds=5)}
"""How long after the last call of a mode its job is due; for `records` the lens says it."""

LONGEST_DEBOUNCE = timedelta(seconds=10)
"""A lens that is called without a pause has its job due this long after the first call."""

STEP = timedelta(milliseconds=100)
"""A job that is put off by less stays where it is: hundreds of calls a second are ten writes."""


def request_soon(
    db: Connection,
    lens: OfLens,
    mode: Mode,
    *,
    debounce: str,
    job_id: str,
    origin: str,
    now: datetime,
    nudged: bool = False,
) -> Job | None:
    """Queue the job; `None` when it was there, and is then put off until the calls stop.

    `debounce` is what the lens's configuration says. `nudged`: the caller launches the job itself
    once it is due. Raises `NotFound` when the lens was removed.
    """
    wait = debounce_of(debounce) if mode is Mode.RECORDS else DEBOUNCE[mode]
    due_at = now + wait
    asked = jobs.request(
        db, lens, mode, job_id=job_id, origin=origin, now=now, due_at=due_at, nudged=nudged
    )
    if not asked.deduplicated:
        return asked.job
    job = asked.job
    # A job that failed keeps the time of its next attempt; a full one waits for nobody to finish.
    if mode is not Mode.FULL and job.attempt == 1:
        latest = min(due_at, max(now, job.created_at + max(wait, LONGEST_DEBOUNCE)))
        # One that a schedule spread into the future comes sooner; one that is due stays due.
        if job.due_at > now and abs(latest - job.due_at) >= STEP:
            jobs.postpone(db, job.id, latest)
    return None
