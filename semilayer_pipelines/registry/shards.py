"""Shards of a generation that is being built: who fills which, and how far it is.

A claim is a lease. Whoever took a silent shard over has a new lease, and every step of the old one
then returns `False`: it must write nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, update

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.time import silent_since

__all__ = [
    "Shard",
    "ShardStatus",
    "advance",
    "all_done",
    "beat",
    "claim",
    "finish",
    "list_all",
    "release",
]

_shards = tables.shards.c


class ShardStatus(StrEnum):
    """How far a shard is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True)
class Shard:
    """One key range of a generation.

    `cursor` is the key up to which it is filled, `counts` what all runs did to it so far.
    """

    generation_id: int
    number: int
    status: ShardStatus
    cursor: str | None
    lease: str | None
    run_id: str | None
    heartbeat_at: datetime | None
    counts: Counts
    started_at: datetime | None


def claim(
    db: Connection,
    generation_id: int,
    *,
    number: int | None,
    lease: str,
    run_id: str | None,
    now: datetime,
    stale_before: datetime,
) -> Shard | None:
    """Take a shard that waits, or one whose run was silent since `stale_before`.

    `number` asks for one shard; `None` takes the first that can be had. Returns `None` when there
    is none. Cursor and counts are those the last run left.
    """
    free = or_(
        _shards.status == ShardStatus.PENDING,
        and_(
            _shards.status == ShardStatus.RUNNING, silent_since(_shards.heartbeat_at, stale_before)
        ),
    )
    candidates = select(_shards.number).where(_shards.generation_id == generation_id, free)
    if number is not None:
        candidates = candidates.where(_shards.number == number)
    # A shard that another transaction is claiming right now is passed over, not waited for.
    chosen = db.scalar(
        candidates.order_by(_shards.number).limit(1).with_for_update(skip_locked=True)
    )
    if chosen is None:
        return None
    row = db.execute(
        update(tables.shards)
        .where(_shards.generation_id == generation_id, _shards.number == chosen)
        .values(
            status=ShardStatus.RUNNING,
            lease=lease,
            run_id=run_id,
            heartbeat_at=now,
            started_at=func.coalesce(_shards.started_at, now),
        )
        .returning(tables.shards)
    ).one()
    return _shard(row)


def advance(
    db: Connection,
    generation_id: int,
    number: int,
    *,
    lease: str,
    cursor: str,
    counts: Counts,
    now: datetime,
) -> bool:
    """Note the key up to which a shard is filled, and its counts so far; `False`: fenced."""
    held = _held(generation_id, number, lease)
    return _moved(db, held, cursor=cursor, counts=counts, heartbeat_at=now)


def beat(db: Connection, generation_id: int, number: int, *, lease: str, now: datetime) -> bool:
    """Renew the lease; `False`: fenced."""
    return _moved(db, _held(generation_id, number, lease), heartbeat_at=now)


def finish(
    db: Connection, generation_id: int, number: int, *, lease: str, counts: Counts, now: datetime
) -> bool:
    """Note that a shard is filled to its end; `False`: fenced."""
    return _moved(
        db,
        _held(generation_id, number, lease),
        status=ShardStatus.DONE,
        lease=None,
        counts=counts,
        heartbeat_at=now,
    )


def release(db: Connection, generation_id: int, number: int, *, lease: str, now: datetime) -> bool:
    """Give a shard back, cursor kept; `False` when it is not held (done, or taken over)."""
    held = _held(generation_id, number, lease)
    return _moved(db, held, status=ShardStatus.PENDING, lease=None, heartbeat_at=now)


def list_all(db: Connection, generation_id: int) -> list[Shard]:
    """Return the shards of a generation, by number."""
    rows = db.execute(
        select(tables.shards).where(_shards.generation_id == generation_id).order_by(_shards.number)
    )
    return [_shard(row) for row in rows]


def all_done(db: Connection, generation_id: int) -> bool:
    """Say whether every shard is filled; a generation that is gone has nothing done."""
    states = list(
        db.scalars(select(_shards.status).where(_shards.generation_id == generation_id).distinct())
    )
    return states == [ShardStatus.DONE]


def _held(generation_id: int, number: int, lease: str) -> ColumnElement[bool]:
    return and_(
        _shards.generation_id == generation_id,
        _shards.number == number,
        _shards.status == ShardStatus.RUNNING,
        _shards.lease == lease,
    )


def _moved(db: Connection, which: ColumnElement[bool], **values: object) -> bool:
    return db.execute(update(tables.shards).where(which).values(**values)).rowcount == 1


def _shard(row: Row[Any]) -> Shard:
    return Shard(
        generation_id=row.generation_id,
        number=row.number,
        status=ShardStatus(row.status),
        cursor=row.cursor,
        lease=row.lease,
        run_id=row.run_id,
        heartbeat_at=row.heartbeat_at,
        counts=row.counts,
        started_at=row.started_at,
    )
