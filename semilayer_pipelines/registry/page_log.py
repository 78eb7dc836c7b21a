"""What every page of a job did: kept here because Dagster's retention deletes runs' events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, or_, select

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.generation import Generation

__all__ = ["LoggedPage", "job_at", "of_job", "prune", "rate", "record", "total"]

_pages = tables.page_log.c
_RATED_PAGES = 1_000
_AT_ONCE = 100  # pages that may end between one page's write and its end: a shard each


@dataclass(frozen=True)
class LoggedPage:
    """One page: numbers from 1 within a run, seconds it took, cursor after it."""

    shard: int
    page: int
    rows: int
    counts: Counts
    seconds: float
    cursor: str | None
    at: datetime


def record(
    db: Connection,
    job_id: str,
    *,
    shard: int,
    page: int,
    rows: int,
    counts: Counts,
    seconds: float,
    cursor: str | None,
    now: datetime,
) -> None:
    """Note a page."""
    db.execute(
        insert(tables.page_log).values(
            job_id=job_id,
            shard=shard,
            page=page,
            rows=rows,
            counts=counts,
            seconds=seconds,
            cursor=cursor,
            at=now,
        )
    )


def of_job(db: Connection, job_id: str, limit: int) -> list[LoggedPage]:
    """Return the last pages of a job, the last one first."""
    rows = db.execute(
        select(tables.page_log)
        .where(_pages.job_id == job_id)
        .order_by(_pages.id.desc())
        .limit(limit)
    )
    return [
        LoggedPage(
            shard=row.shard,
            page=row.page,
            rows=row.rows,
            counts=row.counts,
            seconds=row.seconds,
            cursor=row.cursor,
            at=row.at,
        )
        for row in rows
    ]


def job_at(db: Connection, generation: Generation, at: datetime) -> str | None:
    """Return the job whose page wrote to a generation at a time; `None` when it is forgotten.

    Of the full ingests only those that built the generation can have: its own job and, before it
    was published, one that was ended on its way. Where two jobs were at work at once, it is the one
    that ended its page first. Pages of all attempts count: a job that went on after a pause has
    begun before it.
    """
    jobs = tables.jobs.c
    fills = or_(jobs.mode != Mode.FULL, jobs.id == generation.job_id)
    published_at = generation.published_at
    if generation.created_at <= at and (published_at is None or at <= published_at):
        fills = or_(fills, jobs.status.in_((JobStatus.CANCELED, JobStatus.FAILED)))
    lens_id = generation.lens_id
    rows = db.execute(
        select(_pages.job_id, _pages.at, _pages.seconds)
        .select_from(tables.page_log)
        .join(tables.jobs)
        .where(jobs.lens_id == lens_id, fills, jobs.created_at <= at, _pages.at >= at)
        .order_by(_pages.at, _pages.id)
        .limit(_AT_ONCE)
    )
    begun = (row.job_id for row in rows if row.at - timedelta(seconds=row.seconds) <= at)
    return next(begun, None)


def total(db: Connection, job_id: str) -> Counts:
    """Return what all pages of a job did together."""
    counts = db.scalars(select(_pages.counts).where(_pages.job_id == job_id))
    return sum(counts, Counts())


def rate(db: Connection, job_ids: Sequence[str], since: datetime) -> float:
    """Return how many rows a second the pages of some jobs that ended since then made together.

    Shards work side by side: each has its own rate, and they add up. 0 without a page.
    """
    rows = db.execute(
        select(_pages.job_id, _pages.shard, _pages.rows, _pages.seconds, _pages.at)
        .where(_pages.job_id.in_(job_ids), _pages.at >= since)
        .order_by(_pages.id.desc())
        .limit(_RATED_PAGES)
    )
    of_shards: defaultdict[tuple[str, int], list[tuple[int, datetime, datetime]]] = defaultdict(
        list
    )
    for row in rows:
        begun = row.at - timedelta(seconds=row.seconds)
        of_shards[row.job_id, row.shard].append((row.rows, begun, row.at))
    return sum(map(_rate, of_shards.values()))


def _rate(pages: Sequence[tuple[int, datetime, datetime]]) -> float:
    # From the first one's begin to the last one's end: a page begins while another is written.
    read, begun, ended = zip(*pages, strict=True)
    seconds = (max(ended) - min(begun)).total_seconds()
    return sum(read) / seconds if seconds else 0.0


def prune(db: Connection, before: datetime, *, limit: int) -> int:
    """Delete the `limit` oldest pages noted before a time; return how many."""
    old = select(_pages.id).where(_pages.at < before).order_by(_pages.at).limit(limit)
    return db.execute(delete(tables.page_log).where(_pages.id.in_(old))).rowcount
