"""Indexes of removed lenses, until it is certain that they are gone from their store.

The registry commits first and the store is asked afterwards, so a crash in between must leave
something that says what is still to be dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, select

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert

__all__ = ["add", "before", "forget", "of_env"]

_dropped = tables.dropped_indexes.c


def add(db: Connection, env: str, names: Iterable[str], at: datetime) -> None:
    """Note the indexes of a removed lens."""
    rows = [{"index_name": name, "env": env, "at": at} for name in names]
    if rows:
        db.execute(insert(db, tables.dropped_indexes).on_conflict_do_nothing(), rows)


def before(db: Connection, at: datetime) -> list[tuple[str, str]]:
    """Return (environment, index) of those noted before a time."""
    found = db.execute(select(_dropped.env, _dropped.index_name).where(_dropped.at < at))
    return [(row.env, row.index_name) for row in found]


def of_env(db: Connection, env: str) -> list[str]:
    """Return the indexes noted for an environment."""
    return list(db.scalars(select(_dropped.index_name).where(_dropped.env == env)))


def forget(db: Connection, name: str) -> None:
    """Forget an index that is gone."""
    db.execute(delete(tables.dropped_indexes).where(_dropped.index_name == name))
