"""Whether a lens that failed is tried again by itself or needs a person, since when, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.counts import span
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Job, JobStatus
from semilayer_pipelines.registry.lenses import Lens, LensStatus

__all__ = ["Failing", "failing_of", "wait_told"]


@dataclass(frozen=True)
class Failing:
    """A lens in `error`.

    `since` is the first of its failures in a row. `needs_you`: a person should act; `next_try` is
    when it is tried again all the same, `None` when no job waits for that. `running`: it is being
    tried again. `scheduled`: it has an interval, so its next tick tries again.
    """

    since: datetime | None
    needs_you: bool
    next_try: datetime | None
    running: bool
    scheduled: bool

    @property
    def stopped(self) -> bool:
        """Whether nothing is done until a person says so."""
        return self.needs_you and self.next_try is None and not self.running

    def told(self, now: datetime) -> str:
        """Say in a few words what comes next."""
        if self.running:
            again = "being tried again"
        elif self.next_try is not None:
            again = wait_told(self.next_try, now)
        else:
            again = "" if self.needs_you or not self.scheduled else "tried again by its schedule"
        if self.needs_you or not again:
            return f"needs you; {again}" if again else "needs you"
        return again


def wait_told(due_at: datetime, now: datetime) -> str:
    """Say when something is tried again."""
    seconds = (due_at - now).total_seconds()
    return f"tried again in {span(seconds)}" if seconds > 0 else "tried again now"


def failing_of(db: Connection, lens: Lens) -> Failing | None:
    """Return how a lens fails, `None` when it does not."""
    if lens.status is not LensStatus.ERROR:
        return None
    again = [job for job in _unfinished(db, lens) if job.failing]
    waits = [job.due_at for job in again if job.status is JobStatus.QUEUED]
    config = lens.config
    return Failing(
        since=lens.failing_since,
        needs_you=lens.needs_you,
        next_try=min(waits, default=None),
        running=any(job.status is JobStatus.RUNNING for job in again),
        scheduled=config.sync_interval is not None or config.smart_sync_interval is not None,
    )


def _unfinished(db: Connection, lens: Lens) -> list[Job]:
    return [*jobs.running(db, lens.id), *jobs.queued(db, lens.id)]
