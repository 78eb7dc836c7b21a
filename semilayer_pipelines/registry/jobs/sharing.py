"""Small jobs, which a run may do that was launched for another one.

A run costs two seconds of processor before its first row. A run that is up does a small job at
once, whichever lens it is of: the job keeps its own lease, result and singleton key. Who takes a
job is decided where it is taken (`jobs.take`); here is only what may be looked at.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.jobs.job import PRIORITY, SELECT_JOB, Job, job_of
from semilayer_pipelines.registry.jobs.queries import ready

__all__ = ["RUNS_AHEAD", "SMALL_ROWS", "next_small", "small_and_due"]

SMALL_ROWS = 10_000
"""A table with at most so many rows is small: its syncs and rebuilds share runs with others."""

RUNS_AHEAD = 2
"""Runs of a mode that wait or start; further small jobs are left to them."""

_jobs = tables.jobs.c
_generations = tables.generations.c


def small_and_due(db: Connection, now: datetime) -> frozenset[str]:
    """Return the ids of the small jobs that a run could take now."""
    query = select(_jobs.id).select_from(tables.jobs.join(tables.lenses))
    return frozenset(db.scalars(query.where(ready(now), _small())))


def next_small(db: Connection, mode: Mode, now: datetime) -> Job | None:
    """Return the small job that a run of `mode` is to do next; `None` without one.

    It is of that mode or of one that comes before it, so that a run never does what would have had
    to wait for a place of its own. Of each mode, the job that was due first comes first.
    """
    modes = [other for other in Mode if PRIORITY[other] >= PRIORITY[mode]]
    other = tables.jobs.alias("other")
    one_of_its_kind_runs = (
        select(other.c.id)
        .where(other.c.singleton == _jobs.singleton, other.c.status == JobStatus.RUNNING)
        .exists()
    )
    first = case(PRIORITY, value=_jobs.mode).desc()
    row = db.execute(
        SELECT_JOB.where(ready(now), _small(), _jobs.mode.in_(modes), ~one_of_its_kind_runs)
        .order_by(first, _jobs.due_at, _jobs.id)
        .limit(1)
    ).first()
    return None if row is None else job_of(row)


def _small() -> ColumnElement[bool]:
    """Return the condition for a job that takes a run seconds rather than hours, mostly."""
    small_table = (
        select(_generations.id)
        .where(_generations.active_slot == _jobs.lens_id, _generations.source_rows <= SMALL_ROWS)
        .exists()
    )
    # Whoever asks for several shards wants several runs.
    one_shard = func.coalesce(tables.lenses.c.config["shards"].as_integer(), 1) == 1
    return or_(
        _jobs.mode.in_((Mode.RECORDS, Mode.INCREMENTAL)),
        and_(_jobs.mode == Mode.SMART_SYNC, small_table),
        and_(_jobs.mode == Mode.FULL, small_table, one_shard),
    )
