"""The incremental cursor of a lens: the tracked value and key up to which every row is indexed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert

__all__ = ["IncrementalCursor", "get", "put", "remove"]

_cursors = tables.cursors.c


@dataclass(frozen=True)
class IncrementalCursor:
    """Where an incremental walk goes on.

    `cursor` is the encoded (tracked value, key) of the last row; without one the walk starts at
    `high_water`, a tracked value.
    """

    cursor: str | None
    high_water: str | None
    updated_at: datetime


def get(db: Connection, lens_id: int) -> IncrementalCursor | None:
    """Return the cursor of a lens, `None` before its first walk."""
    row = db.execute(select(tables.cursors).where(_cursors.lens_id == lens_id)).one_or_none()
    return None if row is None else IncrementalCursor(row.cursor, row.high_water, row.updated_at)


def put(
    db: Connection, lens_id: int, *, cursor: str | None, high_water: str | None, now: datetime
) -> None:
    """Set the cursor of a lens, both parts of it."""
    told = {"cursor": cursor, "high_water": high_water, "updated_at": now}
    new = insert(db, tables.cursors).values(lens_id=lens_id, **told)
    db.execute(new.on_conflict_do_update(index_elements=["lens_id"], set_=told))


def remove(db: Connection, lens_id: int) -> None:
    """Forget the cursor of a lens: the next walk starts at the smallest value."""
    db.execute(delete(tables.cursors).where(_cursors.lens_id == lens_id))
