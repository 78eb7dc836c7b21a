"""What is known of the store under a generation: its last start that was seen, and what it lost.

A store that is started again may have lost rows from its vector index (`Index.last_written`). The
start that was seen is noted under the write lock only, with a time from before the store was asked.
So everything that was written after that time is known by its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, func, select, update

from semilayer_pipelines.registry import tables

__all__ = ["LostToSearch", "Seen", "lost_to_search", "note", "note_hidden", "note_recovered"]

_generations = tables.generations.c


@dataclass(frozen=True)
class Seen:
    """Which start of a store answered; `at` is from before it was asked.

    One that is not `lasting` is told by this process's connection, and means nothing to others.
    """

    incarnation: str
    at: datetime
    lasting: bool = True


@dataclass(frozen=True)
class LostToSearch:
    """Rows of the indexes in use that no search found.

    `known` were found hidden by the last whole look and are not mended yet; `recovered` were
    written again since the indexes were built.
    """

    known: int
    recovered: int


def note(db: Connection, generation_id: int, seen: Seen) -> None:
    """Note the start of the store that was seen under a generation."""
    db.execute(
        update(tables.generations)
        .where(_generations.id == generation_id)
        .values(incarnation=seen.incarnation, watched_at=seen.at)
    )


def note_hidden(db: Connection, generation_id: int, rows: int) -> None:
    """Note how many rows a look at the whole generation found hidden."""
    db.execute(
        update(tables.generations).where(_generations.id == generation_id).values(hidden=rows)
    )


def note_recovered(db: Connection, generation_id: int, rows: int) -> None:
    """Note that rows which were hidden were written again."""
    left = case((_generations.hidden > rows, _generations.hidden - rows), else_=0)
    db.execute(
        update(tables.generations)
        .where(_generations.id == generation_id)
        .values(hidden=left, recovered=_generations.recovered + rows)
    )


def lost_to_search(db: Connection) -> LostToSearch:
    """Return the numbers of all indexes in use together."""
    known, recovered = db.execute(
        select(
            func.coalesce(func.sum(_generations.hidden), 0),
            func.coalesce(func.sum(_generations.recovered), 0),
        ).where(_generations.active_slot.is_not(None))
    ).one()
    return LostToSearch(int(known), int(recovered))
