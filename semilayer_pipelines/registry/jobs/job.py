"""What a job is: its singleton key, and how its row reads; its words are in `http.contract`.

Use it through `registry.jobs`, which has the functions that make and move jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Row, select

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry import tables

__all__ = [
    "EXCLUSIVE_MODES",
    "KEEPS_ITS_PLACE",
    "PRIORITY",
    "SELECT_JOB",
    "Job",
    "OfLens",
    "job_of",
    "singleton_key",
]


EXCLUSIVE_MODES = frozenset({Mode.INCREMENTAL, Mode.SMART_SYNC, Mode.REPAIR})
"""Modes of which at most one job of a lens runs at a time."""

KEEPS_ITS_PLACE = frozenset({Mode.FULL, Mode.INCREMENTAL, Mode.RECORDS})
"""Modes of which another attempt goes on where the last one stopped."""

PRIORITY = {
    Mode.RECORDS: 4,
    Mode.INCREMENTAL: 3,
    Mode.REPAIR: 2,
    Mode.SMART_SYNC: 1,
    Mode.FULL: 0,
}
"""Which mode comes first where there is no place for all: the greater number."""

_PREFIX = {
    Mode.FULL: "full",
    Mode.INCREMENTAL: "inc",
    Mode.RECORDS: "rec",
    Mode.SMART_SYNC: "sync",
    Mode.REPAIR: "rep",
}


class OfLens(Protocol):
    """A lens as far as its jobs need it."""

    @property
    def id(self) -> int:
        """Its number."""
        ...

    @property
    def env(self) -> str:
        """The name of its environment."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...


@dataclass(frozen=True)
class Job:
    """One accepted request for ingest.

    `lease` is what the run that has it proves itself with; a full ingest has none, because several
    runs fill its shards. `attempt` counts from 1. `confirmed`: a person allowed the guard to be
    passed. `full_walk`: a smart sync reads every row. `error` of a queued job is why its last
    attempt ended, that of a completed one why the index is overdue for upkeep.
    """

    id: str
    lens_id: int
    env: str
    lens: str
    mode: Mode
    shard: int | None
    singleton: str
    status: JobStatus
    origin: str
    run_id: str | None
    lease: str | None
    counts: Counts
    error: str | None
    cure: str | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    heartbeat_at: datetime | None
    attempt: int
    confirmed: bool
    full_walk: bool = False

    @property
    def failing(self) -> bool:
        """Whether its last attempt failed and it is not done yet."""
        return self.attempt > 1 and self.status in (JobStatus.QUEUED, JobStatus.RUNNING)


def singleton_key(mode: Mode, env: str, lens: str, shard: int | None = None) -> str:
    """Return the key of which there is one of a kind, such as `inc:production:products`."""
    key = f"{_PREFIX[mode]}:{env}:{lens}"
    return key if mode is not Mode.REPAIR else f"{key}:{shard}"


SELECT_JOB = (
    select(tables.jobs, tables.environments.c.slug.label("env"), tables.lenses.c.name.label("lens"))
    .select_from(tables.jobs)
    .join(tables.lenses)
    .join(tables.environments)
)
"""Jobs with the names of their environments and lenses; read the rows with `job_of`."""


def job_of(row: Row[Any]) -> Job:
    """Return the job that a row of `SELECT_JOB` describes."""
    return Job(
        id=row.id,
        lens_id=row.lens_id,
        env=row.env,
        lens=row.lens,
        mode=Mode(row.mode),
        shard=row.shard,
        singleton=row.singleton,
        status=JobStatus(row.status),
        origin=row.origin,
        run_id=row.run_id,
        lease=row.lease,
        counts=row.counts,
        error=row.error,
        cure=row.cure,
        created_at=row.created_at,
        due_at=row.due_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        heartbeat_at=row.heartbeat_at,
        attempt=row.attempt,
        confirmed=row.confirmed,
        full_walk=row.full_walk,
    )
