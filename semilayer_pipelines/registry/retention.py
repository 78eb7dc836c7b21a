"""Forget what is only history: ended jobs, pages, applied changes. Nothing that is still needed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete

from semilayer_pipelines.registry import changes, page_log, tables

__all__ = ["Swept", "sweep"]


@dataclass(frozen=True)
class Swept:
    """How many rows of history were deleted."""

    jobs: int
    pages: int
    changes: int


def sweep(
    db: Connection,
    now: datetime,
    *,
    jobs_older_than: timedelta,
    pages_older_than: timedelta,
    changes_older_than: timedelta,
) -> Swept:
    """Delete jobs that ended, pages noted and changes applied longer ago than given.

    The pages of a deleted job go with it, uncounted.
    """
    pages = page_log.prune(db, now - pages_older_than)
    ended = delete(tables.jobs).where(tables.jobs.c.ended_at < now - jobs_older_than)
    return Swept(
        jobs=db.execute(ended).rowcount,
        pages=pages,
        changes=changes.prune(db, now - changes_older_than),
    )
