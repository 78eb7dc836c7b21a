"""A page that a job has done, as the registry notes it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import page_log


def page_done(db: Connection, job_id: str, now: datetime) -> None:
    """Note that a job has written its first page."""
    page_log.record(
        db,
        job_id,
        shard=0,
        page=1,
        rows=5,
        counts=Counts(read=5, written=5),
        seconds=0.1,
        cursor="5",
        now=now,
    )
