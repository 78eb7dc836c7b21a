"""Feeds: how far the changes of a source were read, and who reads them now.

A feed is made when it is installed. One process at a time has its lease; whoever lost it cannot
move the position any more, so two at once do no harm. The position is moved in the transaction that
buffers the changes up to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    and_,
    cast,
    delete,
    or_,
    select,
    update,
)

from semilayer_pipelines.config.models import Cdc
from semilayer_pipelines.errors import Fenced
from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert
from semilayer_pipelines.registry.time import silent_since

__all__ = [
    "LEASE",
    "FeedRow",
    "Readership",
    "advance",
    "ensure",
    "get",
    "list_all",
    "note_lag",
    "note_trouble",
    "readership",
    "release",
    "remove",
    "renew",
    "restarted",
    "take",
]

_feeds = tables.feeds.c
_SELECT = select(tables.feeds, tables.environments.c.slug.label("env")).join(tables.environments)

LEASE = timedelta(seconds=10)
"""A follower that was silent for so long has lost its lease to whoever wants it."""


@dataclass(frozen=True)
class FeedRow:
    """A feed of a source.

    `name` is a word of its own for what is made in the database: letters, digits, `_`. `position`
    is in the feed's own form, `None` before the first look. `changes` were buffered since it was
    installed. `lag_bytes` and `lag_seconds`, `None` where they are not known, were so at `lag_at`.
    `restarts` counts how often it had to start over, last at `restarted_at` for the reason
    `restarted_because`. `trouble` says why nothing is read now.
    """

    env_id: int
    env: str
    source: str
    kind: Cdc
    name: str
    position: str | None
    changes: int
    lease: str | None
    lease_at: datetime | None
    lag_bytes: int | None
    lag_seconds: float | None
    lag_at: datetime | None
    restarts: int
    restarted_at: datetime | None
    restarted_because: str | None
    trouble: str | None
    cure: str | None

    def is_followed(self, now: datetime) -> bool:
        """Say whether a process reads it."""
        return self.lease is not None and self.lease_at is not None and now - self.lease_at < LEASE


@dataclass(frozen=True)
class Readership:
    """What decides which changes of a source go to which lenses; equal as long as nothing moved.

    `lenses` are those of the environment, with what was pushed when and which indexes there are;
    `indexed` of them have an index, or one that is being built.
    """

    source: str | None
    lenses: frozenset[tuple[object, ...]]
    indexed: frozenset[int]


def readership(db: Connection, env_id: int, source: str) -> Readership:
    """Return what decides now which changes of a source go to which lenses."""
    config = select(cast(tables.sources.c.config, Text)).where(
        tables.sources.c.env_id == env_id, tables.sources.c.name == source
    )
    lenses, generations = tables.lenses.c, tables.generations.c
    kept = or_(generations.active_slot == lenses.id, generations.building_slot == lenses.id)
    rows = db.execute(
        select(lenses.id, lenses.pushed_at, lenses.needs, generations.id, generations.state)
        .select_from(tables.lenses.outerjoin(tables.generations, kept))
        .where(lenses.env_id == env_id)
    )
    found = frozenset(tuple(row) for row in rows)
    indexed = frozenset(row[0] for row in found if row[3] is not None)
    return Readership(db.scalar(config), found, indexed)


def ensure(db: Connection, env_id: int, source: str, kind: Cdc) -> FeedRow:
    """Return the feed of a source, made if there is none; one that is there keeps its kind."""
    # A name that nobody else has: two projects may read one database in environments of one name.
    name = f"semilayer_{uuid4().hex[:8]}"
    new = insert(db, tables.feeds).values(env_id=env_id, source=source, kind=kind, name=name)
    db.execute(new.on_conflict_do_nothing(index_elements=["env_id", "source"]))
    made = get(db, env_id, source)
    assert made is not None
    return made


def get(db: Connection, env_id: int, source: str) -> FeedRow | None:
    """Return the feed of a source, `None` where none was installed."""
    row = db.execute(_SELECT.where(_of(env_id, source))).one_or_none()
    return None if row is None else _feed(row)


def list_all(db: Connection, env: str | None = None) -> list[FeedRow]:
    """Return every feed, or those of one environment, by environment and source."""
    query = _SELECT.order_by(tables.environments.c.slug, _feeds.source)
    if env is not None:
        query = query.where(tables.environments.c.slug == env)
    return [_feed(row) for row in db.execute(query)]


def remove(db: Connection, env_id: int, source: str) -> None:
    """Forget a feed; what was made in the database is the caller's to drop, before."""
    db.execute(delete(tables.feeds).where(_of(env_id, source)))


def take(
    db: Connection,
    feed: FeedRow,
    lease: str,
    now: datetime,
    *,
    silence: timedelta = LEASE,
) -> FeedRow | None:
    """Take the lease where it is free or its holder fell silent; return the feed as it is then."""
    free = or_(_feeds.lease.is_(None), silent_since(_feeds.lease_at, now - silence))
    mine = and_(_of(feed.env_id, feed.source), _feeds.name == feed.name, free)
    taken = db.execute(update(tables.feeds).where(mine).values(lease=lease, lease_at=now))
    return get(db, feed.env_id, feed.source) if taken.rowcount == 1 else None


def renew(db: Connection, feed: FeedRow, now: datetime) -> bool:
    """Give a sign of life; return False when another process has the lease."""
    kept = db.execute(update(tables.feeds).where(_held_by(feed)).values(lease_at=now))
    return kept.rowcount == 1


def release(db: Connection, feed: FeedRow) -> None:
    """Give the lease back, if it is still held."""
    db.execute(update(tables.feeds).where(_held_by(feed)).values(lease=None))


def advance(db: Connection, feed: FeedRow, position: str, changes: int, now: datetime) -> None:
    """Note how far was read, and how many changes more were buffered.

    What kept the feed from being read is over. Raises `Fenced` when another process has the lease.
    """
    _held(
        db,
        feed,
        position=position,
        changes=_feeds.changes + changes,
        lease_at=now,
        trouble=None,
        cure=None,
    )


def restarted(db: Connection, feed: FeedRow, reason: str, now: datetime) -> None:
    """Note that changes may have been missed, so that the feed started over. Raises `Fenced`."""
    _held(
        db,
        feed,
        restarts=_feeds.restarts + 1,
        restarted_at=now,
        restarted_because=reason,
    )


def note_lag(
    db: Connection, feed: FeedRow, size: int | None, seconds: float | None, now: datetime
) -> None:
    """Note how far the feed is behind. Raises `Fenced` when another process has the lease."""
    _held(db, feed, lag_bytes=size, lag_seconds=seconds, lag_at=now, lease_at=now)


def note_trouble(db: Connection, feed: FeedRow, trouble: str, cure: str) -> None:
    """Note why nothing is read now. Raises `Fenced` when another process has the lease."""
    _held(db, feed, trouble=trouble, cure=cure)


def _held(db: Connection, feed: FeedRow, **values: object) -> None:
    held = db.execute(update(tables.feeds).where(_held_by(feed)).values(values))
    if held.rowcount != 1:
        raise Fenced(
            f"source {feed.source!r}: another process follows it now.",
            cure="Nothing is to be done: that one goes on from the same position.",
        )


def _of(env_id: int, source: str) -> ColumnElement[bool]:
    return and_(_feeds.env_id == env_id, _feeds.source == source)


def _held_by(feed: FeedRow) -> ColumnElement[bool]:
    return and_(_of(feed.env_id, feed.source), _feeds.name == feed.name, _feeds.lease == feed.lease)


def _feed(row: Row[Any]) -> FeedRow:
    return FeedRow(**{**row._mapping, "kind": Cdc(row.kind)})
