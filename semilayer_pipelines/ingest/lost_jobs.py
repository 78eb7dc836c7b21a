"""Jobs whose process is gone, where a program of one's own runs them.

Dagster's sensor looks after the jobs of its runs (`orchestration.recovery`). Beside a program that
runs jobs itself there need be no Dagster. So each of its runs looks after those that such a program
left, of the same lens: a killed one would keep its place, and what it claimed, for ever.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.jobs import Mode

__all__ = ["LOST", "queue_lost"]

LOST = "The run's process was lost."


def queue_lost(db: Connection, lens_id: int, now: datetime) -> None:
    """Queue the jobs of a lens again that no Dagster run has, and that fell silent.

    A full ingest needs that not: whoever comes joins it.
    """
    for job in jobs.silent(db, now - SILENCE):
        if job.lens_id == lens_id and job.run_id is None and job.mode is not Mode.FULL:
            changes.release(db, job.id)
            jobs.retry(db, job.id, lease=job.lease, due_at=now, error=LOST, now=now)
