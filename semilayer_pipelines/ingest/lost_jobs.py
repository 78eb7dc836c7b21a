"""Jobs whose process is gone, where a program of one's own runs them.

Dagster's sensor looks after the jobs of its runs (`orchestration.recovery`). Beside a program that
runs jobs itself there need be no Dagster. So each of its runs looks after those that such a program
left, of the same lens: a killed one would keep its place, and what it claimed, for ever.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.registry import changes, jobs, page_log
from semilayer_pipelines.registry.jobs import KEEPS_ITS_PLACE, Job, Mode

__all__ = ["LOST", "got_on", "queue_lost"]

LOST = "The run's process was lost."


def queue_lost(db: Connection, lens_id: int, now: datetime) -> None:
    """Queue the jobs of a lens again that no Dagster run has, and that fell silent.

    A full ingest needs that not: whoever comes joins it.
    """
    for job in jobs.silent(db, now - SILENCE):
        if job.lens_id == lens_id and job.run_id is None and job.mode is not Mode.FULL:
            failures = 1 if got_on(db, job) else job.attempt
            if jobs.retry(
                db, job.id, lease=job.lease, due_at=now, error=LOST, failures=failures, now=now
            ):
                # Not before: what another program took meanwhile is claimed by a run that lives.
                changes.release(db, job.id)


def got_on(db: Connection, job: Job) -> bool:
    """Say whether the run that is gone did a part that is never done again.

    Days of work on machines that come and go are no reason to wait, nor to call the lens broken.
    """
    last = next(iter(page_log.of_job(db, job.id, 1)), None)
    if job.mode not in KEEPS_ITS_PLACE or last is None or job.started_at is None:
        return False
    return last.at >= job.started_at and last.counts.written + last.counts.deleted > 0
