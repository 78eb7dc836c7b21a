"""Forget what is only history: ended jobs, pages, applied changes. Nothing that is still needed.

In batches, each a transaction of its own: on SQLite nobody else writes while one is open, and the
webhook answers a call only when it has written it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, delete, select

from semilayer_pipelines.registry import changes, page_log, tables
from semilayer_pipelines.registry.database import Registry

__all__ = ["BATCH", "Swept", "sweep"]

BATCH = 10_000
"""Rows that one transaction looks at or deletes: some tens of milliseconds."""

T = TypeVar("T")

_jobs = tables.jobs.c


@dataclass(frozen=True)
class Swept:
    """How many rows of history were deleted."""

    jobs: int
    pages: int
    changes: int


def sweep(
    registry: Registry,
    now: datetime,
    *,
    jobs_older_than: timedelta,
    pages_older_than: timedelta,
    changes_older_than: timedelta,
    batch: int = BATCH,
    rest: Callable[[float], None] = time.sleep,
) -> Swept:
    """Delete jobs that ended, pages noted and changes applied longer ago than given.

    The pages of a deleted job go with it, uncounted. Between two batches it rests, `rest(seconds)`,
    for as long as the last one took, so that others get at the registry. Stopped in between, it has
    deleted less; the next sweep does the rest.
    """

    def alone(forget: Callable[[Connection], T]) -> T:
        begun = time.monotonic()
        with registry.begin() as db:
            done = forget(db)
        rest(time.monotonic() - begun)
        return done

    pages = partial(page_log.prune, before=now - pages_older_than, limit=batch)
    ended = partial(_forget_jobs, before=now - jobs_older_than, limit=batch)
    applied = partial(changes.prune, applied_before=now - changes_older_than, limit=batch)
    return Swept(
        pages=_until_few(lambda: alone(pages), batch),  # first: the fewer go with a job
        jobs=_until_few(lambda: alone(ended), batch),
        changes=_to_the_end(lambda after: alone(partial(applied, after=after))),
    )


def _forget_jobs(db: Connection, before: datetime, limit: int) -> int:
    old = select(_jobs.id).where(_jobs.ended_at < before).order_by(_jobs.ended_at).limit(limit)
    return db.execute(delete(tables.jobs).where(_jobs.id.in_(old))).rowcount


def _until_few(forget: Callable[[], int], full: int) -> int:
    total = 0
    while (forgotten := forget()) == full:
        total += forgotten
    return total + forgotten


def _to_the_end(prune: Callable[[int], changes.Pruned]) -> int:
    total, after = 0, 0
    while (pruned := prune(after)).end is not None:
        total, after = total + pruned.changes, pruned.end
    return total
