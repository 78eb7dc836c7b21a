"""Queued jobs: making them, moving their time, taking them back.

`request` is the only place that makes a job, and the one that decides what there may be only one of
(invariant 6): a job occupies its singleton `slot` while queued, a full ingest until it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, or_, update
from sqlalchemy.exc import IntegrityError

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import NotFound
from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.jobs.job import (
    SELECT_JOB,
    Job,
    OfLens,
    job_of,
    singleton_key,
)
from semilayer_pipelines.registry.jobs.queries import get
from semilayer_pipelines.registry.sql import insert

__all__ = ["Requested", "cancel", "hasten", "postpone", "relaunch", "request"]

_jobs = tables.jobs.c
_THERE = SELECT_JOB.where(
    or_(_jobs.slot == bindparam("slot"), _jobs.id == bindparam("id"))
).order_by(case((_jobs.id == bindparam("id"), 0), else_=1))


@dataclass(frozen=True)
class Requested:
    """The job that will do what was asked; `deduplicated` when it was there already."""

    job: Job
    deduplicated: bool


def request(
    db: Connection,
    lens: OfLens,
    mode: Mode,
    *,
    job_id: str,
    origin: str,
    now: datetime,
    due_at: datetime | None = None,
    shard: int | None = None,
    confirmed: bool = False,
    full_walk: bool = False,
    nudged: bool = False,
) -> Requested:
    """Queue a job, or return the one that occupies its place (or has this very id) already.

    `due_at` of a job that is there stays (see `postpone`). A confirmation and the wish for a
    `full_walk` are passed on to it while it is queued. `nudged`: the caller launches the job itself
    once it is due (see `due`). Raises `NotFound` when the lens was removed.
    """
    singleton = singleton_key(mode, lens.env, lens.name, shard)
    new = {
        "id": job_id,
        "lens_id": lens.id,
        "mode": mode,
        "shard": shard,
        "singleton": singleton,
        "slot": singleton,
        "status": JobStatus.QUEUED,
        "origin": origin,
        "counts": Counts(),
        "created_at": now,
        "due_at": due_at or now,
        "attempt": 1,
        "confirmed": confirmed,
        "full_walk": full_walk,
        "nudged": nudged,
    }
    told = {"confirmed": confirmed, "full_walk": full_walk}
    asked = {name: True for name, is_asked in told.items() if is_asked}
    while True:
        if asked:
            queued = and_(_jobs.slot == singleton, _jobs.status == JobStatus.QUEUED)
            db.execute(update(tables.jobs).where(queued).values(asked))
        # Looked for first: a lens that is called all the time has its job nearly always.
        row = db.execute(_THERE, {"slot": singleton, "id": job_id}).first()
        if row is not None:
            return Requested(job_of(row), deduplicated=True)
        try:
            put = insert(db, tables.jobs).values(new).on_conflict_do_nothing()
            made = db.execute(put.returning(_jobs.id)).first() is not None
        except IntegrityError:  # the one rule that is left to break: its lens must be there
            raise NotFound("It was removed.", cure="Push it again.", lens=lens.name) from None
        if made:
            return Requested(get(db, job_id), deduplicated=False)
        # Somebody took the slot between the two statements.


def postpone(db: Connection, job_id: str, due_at: datetime) -> bool:
    """Set when a queued job is due; return whether it was still queued."""
    later = update(tables.jobs).where(_queued(job_id)).values(due_at=due_at)
    return db.execute(later).rowcount == 1


def hasten(db: Connection, job_id: str, now: datetime) -> bool:
    """Make a queued job due because a person asks for it; its failures so far are forgotten."""
    due_at = case((_jobs.due_at > now, now), else_=_jobs.due_at)
    sooner = update(tables.jobs).where(_queued(job_id)).values(due_at=due_at, attempt=1)
    return db.execute(sooner).rowcount == 1


def relaunch(db: Connection, job_id: str, now: datetime) -> Job:
    """Make a queued job due anew, for when its launch was lost; return the job as it is then.

    Raises `NotFound`.
    """
    postpone(db, job_id, now)
    return get(db, job_id)


def cancel(db: Connection, job_id: str, now: datetime) -> bool:
    """Cancel a queued job; return whether it was still queued."""
    ended = {"status": JobStatus.CANCELED, "slot": None, "ended_at": now}
    return db.execute(update(tables.jobs).where(_queued(job_id)).values(ended)).rowcount == 1


def _queued(job_id: str) -> ColumnElement[bool]:
    return and_(_jobs.id == job_id, _jobs.status == JobStatus.QUEUED)
