"""The rows that moved, of a table that joins others: each table's own index finds some of them.

A condition over several tables uses no index: the database would read the whole table for a page.
So a walk begins with keys, those of the rows that moved and those of the rows whose joined row did.

Finding them costs the same for one page as for all. So they are remembered in the order of the
walk, and the pages that follow are read by their keys. A walk that begins, or goes on elsewhere,
looks again; so does a page of which a row moved or went in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from semilayer_pipelines.bridges import condition
from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.catalogue import Catalogue
from semilayer_pipelines.bridges.collected import nothing
from semilayer_pipelines.bridges.cursors import decode, encode
from semilayer_pipelines.bridges.database import Computed, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.joined import new_name
from semilayer_pipelines.bridges.pages import Pages
from semilayer_pipelines.bridges.protocol import Selection, SourcePage
from semilayer_pipelines.bridges.reader import Reader

__all__ = ["MovedPage", "MovedRows", "MovedWalk", "moved_rows"]

MOST_POSITIONS = 200_000
"""Positions of moved rows that are remembered; a longer walk looks again behind them."""

_ROWS_A_PAGE = 1_000


@dataclass(frozen=True)
class MovedWalk:
    """What a walk over moved rows asks for, whatever page it is at."""

    selection: Selection
    tracked: tuple[str, ...]
    upto: str | None
    horizon: datetime | None


@dataclass(frozen=True)
class MovedPage:
    """A page of such a walk: up to `limit` rows in `order` after `cursor`.

    `conditions` say what it asks for, `moved` the same of each table alone, as `moved_rows` takes
    it.
    """

    walk: MovedWalk
    order: tuple[SourceColumn, ...]
    moved: Sequence[Sql]
    conditions: Sequence[Sql | None]
    cursor: str | None
    limit: int
    computed: tuple[Computed, ...]


@dataclass(frozen=True)
class _Scan:
    """Encoded positions that are still to be read, in their order, behind `after`.

    `complete`: none follow.
    """

    walk: MovedWalk
    after: str | None
    positions: tuple[str, ...]
    complete: bool


class MovedRows:
    """Reads the rows of one source's tables that moved, of tables that join others."""

    def __init__(self, reader: Reader, pages: Pages) -> None:
        self._reader = reader
        self._db = reader.db
        self._catalogue = reader.catalogue
        self._pages = pages
        self._scan: _Scan | None = None

    def read(self, asked: MovedPage) -> SourcePage:
        """Read a page."""
        walk = asked.walk
        scan, self._scan = self._scan, None
        if scan is None or (scan.walk, scan.after) != (walk, asked.cursor):
            scan = self._scanned(asked)
        chunk = scan.positions[: min(asked.limit, _ROWS_A_PAGE)]
        if not chunk:
            return SourcePage(nothing(self._reader, walk.selection, asked.computed), None)
        told = condition.told(self._db, walk.selection)
        page = self._pages.read(
            walk.selection,
            asked.order,
            [*asked.conditions, *self._of(asked, chunk)],
            len(chunk),
            shard=asked.computed,
            told=told,
        )
        if page.cursor in chunk:
            # It was full before they were all read.
            chunk = chunk[: chunk.index(page.cursor) + 1]
        if page.last != chunk[-1] or _rows_of(page) != len(chunk):
            # One of them moved, or is gone: it may come later on this very walk.
            return self._pages.read(
                walk.selection,
                asked.order,
                asked.conditions,
                asked.limit,
                shard=asked.computed,
                told=told,
                rows=moved_rows(self._catalogue, walk.selection, asked.moved),
            )
        left = scan.positions[len(chunk) :]
        if left:
            self._scan = replace(scan, after=chunk[-1], positions=left)
        return replace(page, cursor=chunk[-1] if left or not scan.complete else None)

    def _scanned(self, asked: MovedPage) -> _Scan:
        selection, order = asked.walk.selection, asked.order
        rows = moved_rows(self._catalogue, selection, asked.moved)
        tail = st.tail(rows, order, asked.conditions, MOST_POSITIONS + 1)
        query = Query(order, order, selection.key, tail, MOST_POSITIONS)
        found = self._reader.read(selection, query)
        positions = tuple(encode(found.position(row)) for row in range(found.frame.height))
        return _Scan(asked.walk, asked.cursor, positions, not found.more)

    def _of(self, asked: MovedPage, chunk: Sequence[str]) -> list[Sql]:
        value, *key = decode(chunk[-1])
        upto = st.upto(self._db, asked.order, (self._db.as_latest(value), *key))
        keys = [decode(position)[1:] for position in chunk]
        return [upto, st.one_of(self._db, self._catalogue.key(asked.walk.selection), keys)]


def _rows_of(page: SourcePage) -> int:
    return page.frame.height + len(page.refused) + len(page.outside)


def moved_rows(catalogue: Catalogue, selection: Selection, moved: Sequence[Sql]) -> Sql:
    """Return what stands behind FROM: the selection's rows that meet one of the conditions.

    The first condition is about the table itself, the others about the joined tables that are
    tracked, in their order.
    """
    base = catalogue.table(selection)
    key = catalogue.key(selection)
    alias = new_name("moved", base)
    names = ", ".join(f"{column.quoted} AS {alias}_{i}" for i, column in enumerate(key))
    tables = [one for one in catalogue.joined(selection) if one.tracked]
    origins = [base.quoted, *(f"{base.quoted} JOIN {one.quoted} ON {one.on}" for one in tables)]
    found = Sql("(")
    for number, (origin, since) in enumerate(zip(origins, moved, strict=True)):
        found += Sql(f"{' UNION ' if number else ''}SELECT {names} FROM {origin} WHERE ")
        found += since
    same = " AND ".join(f"{column.quoted} = {alias}.{alias}_{i}" for i, column in enumerate(key))
    joins = "".join(f" LEFT JOIN {one.quoted} ON {one.on}" for one in catalogue.joined(selection))
    return found + Sql(f") {alias} JOIN {base.quoted} ON {same}{joins}")
