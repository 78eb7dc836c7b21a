"""Objects of a generation that were found at fault, kept until a smart sync has written them again.

Their hashes are those of their rows, so no comparison would ever write them. What writing does not
mend is kept for as long as the generation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from sqlalchemy import Connection, delete, exists, literal, select

from semilayer_pipelines.registry import tables
from semilayer_pipelines.registry.sql import among, insert, rows_of

__all__ = ["MENDED", "Fault", "clear", "is_marked", "keys", "mark"]

_marked = tables.marked_rows.c


class Fault(StrEnum):
    """What is wrong with an object."""

    HIDDEN = "hidden"  # no search finds it
    UNREACHABLE = "unreachable"  # nor when it was written again, so that is not done any more
    FIELDS = "fields"  # they are not those of its row
    VECTOR = "vector"  # it is not that of its text


MENDED = (Fault.HIDDEN, Fault.FIELDS, Fault.VECTOR)
"""What a sync mends: it writes these objects again."""


def mark(db: Connection, generation_id: int, fault: Fault, keys: Sequence[str]) -> None:
    """Mark objects; those that are marked already stay so."""
    if not keys:
        return
    given = rows_of(db, key=keys)
    # SQLite takes ON CONFLICT after a bare FROM for a join; a WHERE in between tells it apart.
    chosen = select(literal(generation_id), literal(fault.value), given.c.key).where(
        given.c.position > 0
    )
    new = insert(db, tables.marked_rows).from_select(["generation_id", "fault", "key"], chosen)
    db.execute(new.on_conflict_do_nothing())


def is_marked(db: Connection, generation_id: int, fault: Fault, key: str) -> bool:
    """Say whether an object is marked with this fault."""
    marked = exists().where(
        _marked.generation_id == generation_id, _marked.fault == fault, _marked.key == key
    )
    return bool(db.scalar(select(marked)))


def keys(
    db: Connection, generation_id: int, faults: Collection[Fault], limit: int | None = None
) -> list[str]:
    """Return the keys of objects with one of these faults, in their order, each once."""
    query = (
        select(_marked.key)
        .where(_marked.generation_id == generation_id, _marked.fault.in_(list(faults)))
        .distinct()
        .order_by(_marked.key)
        .limit(limit)
    )
    return list(db.scalars(query))


def clear(
    db: Connection, generation_id: int, faults: Collection[Fault], keys: Sequence[str]
) -> None:
    """Take marks off objects that were written again."""
    if not keys:
        return
    db.execute(
        delete(tables.marked_rows).where(
            _marked.generation_id == generation_id,
            _marked.fault.in_(list(faults)),
            among(db, _marked.key, keys),
        )
    )
