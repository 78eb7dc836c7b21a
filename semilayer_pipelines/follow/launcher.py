"""Who launches the jobs that a follower queues, so that they do not wait for Dagster's sensor."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

__all__ = ["Launcher"]


class Launcher(Protocol):
    """Launches jobs once they are due; never fails, as the sensor launches what it cannot."""

    def can_watch(self) -> bool:
        """Say whether the sensor should leave a job that is queued now to this process."""
        ...

    def watch(self, job_id: str, due_at: datetime) -> None:
        """Launch this job once its time has come and no run has taken it; returns at once."""
        ...
