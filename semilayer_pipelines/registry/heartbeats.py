"""When a program that the others depend on was last at work.

A program that died cannot say so. Others read here how long it has been silent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.sql import insert

__all__ = ["ALERTS", "BEAT_EVERY", "DAEMON", "Heart", "last_beat", "take_turn"]

DAEMON = "daemon"
"""Dagster's daemon, whose sensor launches the jobs."""

ALERTS = "alerts"
"""Whoever looked last for something to tell (`control.alerts`)."""

BEAT_EVERY = timedelta(seconds=10)
"""How old the noted sign of life of Dagster's daemon gets before another one is noted."""


class Heart:
    """Notes that a program is at work, now and then; one a process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._noted: datetime | None = None

    def beat(self, registry: Registry, now: datetime) -> None:
        """Note it, unless that was done a moment ago. Raises `RegistryUnavailable`."""
        # A time in the future is of a clock that was set back since.
        if self._noted is None or not timedelta(0) <= now - self._noted < BEAT_EVERY:
            with registry.begin() as db:
                new = insert(db, tables.heartbeats).values(name=self._name, at=now)
                db.execute(new.on_conflict_do_update(index_elements=["name"], set_={"at": now}))
            self._noted = now


def last_beat(db: Connection, name: str) -> datetime | None:
    """Return when a program was last at work, `None` when it never was."""
    beats = tables.heartbeats.c
    found: datetime | None = db.scalar(select(beats.at).where(beats.name == name))
    return found


def take_turn(db: Connection, name: str, now: datetime, every: timedelta) -> bool:
    """Note that a program does its work now, unless one of its kind did so a moment ago.

    Of several that ask at once, one gets the turn.
    """
    beats = tables.heartbeats.c
    new = insert(db, tables.heartbeats).values(name=name, at=now)
    # Not by its row count: SQLAlchemy tells -1 for an insert on PostgreSQL that gives nothing back.
    first = new.on_conflict_do_nothing(index_elements=["name"]).returning(beats.name)
    if db.execute(first).first() is not None:
        return True
    # A time in the future is of a clock that was set back since.
    late = (beats.at <= now - every) | (beats.at > now)
    mine = update(tables.heartbeats).where(beats.name == name, late).values(at=now)
    return db.execute(mine).rowcount == 1
