"""The incremental cursor of a lens: the tracked value and key up to which every row is indexed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select, update

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import insert

__all__ = ["IncrementalCursor", "begin", "completed", "get", "put", "remove"]

_cursors = tables.cursors.c


@dataclass(frozen=True)
class IncrementalCursor:
    """Where an incremental walk goes on.

    `cursor` is the encoded (tracked value, key) of the last row; without one the walk starts at
    `high_water`, an encoded tracked value. `settled` is the largest tracked value that a walk saw
    long enough before the last one, so that no earlier value can still come; `seen` was seen at
    `seen_at` and takes its place in time.
    """

    cursor: str | None
    high_water: str | None
    updated_at: datetime
    settled: str | None = None
    seen: str | None = None
    seen_at: datetime | None = None

    @property
    def position(self) -> str | None:
        """The encoded value up to which rows are indexed; `None` before the first row."""
        return self.cursor or self.high_water


def get(db: Connection, lens_id: int) -> IncrementalCursor | None:
    """Return the cursor of a lens, `None` before its first walk."""
    row = db.execute(select(tables.cursors).where(_cursors.lens_id == lens_id)).one_or_none()
    if row is None:
        return None
    return IncrementalCursor(
        row.cursor, row.high_water, row.updated_at, row.settled, row.seen, row.seen_at
    )


def put(db: Connection, lens_id: int, cursor: str, now: datetime) -> None:
    """Move the cursor of a lens to the last row of a page; what was settled stays so."""
    told = {"cursor": cursor, "high_water": None, "updated_at": now}
    new = insert(db, tables.cursors).values(lens_id=lens_id, **told)
    db.execute(new.on_conflict_do_update(index_elements=["lens_id"], set_=told))


def begin(
    db: Connection,
    lens_id: int,
    high_water: str | None,
    *,
    settled: str | None,
    seen_at: datetime,
    now: datetime,
) -> None:
    """Let the next walk begin where a full ingest did: at what it saw, and at what was settled."""
    told = {
        "cursor": None,
        "high_water": high_water,
        "updated_at": now,
        "settled": settled,
        "seen": high_water,
        "seen_at": None if high_water is None else seen_at,
    }
    new = insert(db, tables.cursors).values(lens_id=lens_id, **told)
    db.execute(new.on_conflict_do_update(index_elements=["lens_id"], set_=told))


def completed(
    db: Connection, lens_id: int, end: str, *, began: datetime, open_for: timedelta
) -> None:
    """Note that a walk is complete that began at `began`, when `end` was the largest value.

    Transactions stay open for `open_for` at most, so what was seen that long before is settled:
    whoever drew a smaller value had committed it by then, and this walk has read it.
    """
    at = get(db, lens_id)
    if at is None or (at.seen_at is not None and at.seen_at > began - open_for):
        return
    db.execute(
        update(tables.cursors)
        .where(_cursors.lens_id == lens_id)
        .values(settled=at.seen, seen=end, seen_at=began)
    )


def remove(db: Connection, lens_id: int) -> None:
    """Forget the cursor of a lens: the next walk starts at the smallest value."""
    db.execute(delete(tables.cursors).where(_cursors.lens_id == lens_id))
