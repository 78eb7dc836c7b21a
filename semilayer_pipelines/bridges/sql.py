"""The SQL bridge: rows of SQLite, PostgreSQL, MariaDB and MySQL in key order.

It reads pages by keyset, never by offset, so a row is neither skipped nor repeated while others
come and go; comparing and sorting is left to the database. It never writes, keeps no snapshot open
between calls, and asks for a table's description once, not once per page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl

from semilayer_pipelines.bridges import condition
from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.backends import open_database
from semilayer_pipelines.bridges.catalogue import Catalogue
from semilayer_pipelines.bridges.cursors import Scalar, decode, encode
from semilayer_pipelines.bridges.database import Computed, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.followed import Followed
from semilayer_pipelines.bridges.ids import parse_ids
from semilayer_pipelines.bridges.lookup import Lookup
from semilayer_pipelines.bridges.moved import MovedPage, MovedRows, MovedWalk
from semilayer_pipelines.bridges.naming import Naming
from semilayer_pipelines.bridges.order import ORDERED_TYPES, out_of_order
from semilayer_pipelines.bridges.pages import Pages
from semilayer_pipelines.bridges.parents import Parents
from semilayer_pipelines.bridges.protocol import (
    SHARD_COLUMN,
    HiddenRows,
    KeySums,
    LookedUp,
    NamedRows,
    Selection,
    SourcePage,
    Table,
    Untracked,
    Window,
    Written,
)
from semilayer_pipelines.bridges.proving import Proving
from semilayer_pipelines.bridges.reader import Reader
from semilayer_pipelines.bridges.told_keys import spelled
from semilayer_pipelines.bridges.unfit import with_unfit
from semilayer_pipelines.errors import NotPermitted, SchemaMismatch, SourceRefused

__all__ = ["SqlBridge"]

_WHOLE = Window()
_TEXTS = ("text", "uuid", "other")
_LOOKED_AT = 100


class SqlBridge:
    """A `Bridge` over one database; see the protocol for what each verb promises.

    `timeout_ms` bounds a statement, `name` is the source's in messages. A relative path of a SQLite
    file begins in `folder`.
    """

    def __init__(self, url: str, *, timeout_ms: int, name: str, folder: Path = Path()) -> None:
        self._db = open_database(url, timeout_ms=timeout_ms, name=name, folder=folder)
        self._catalogue = Catalogue(self._db, name)
        self._reader = Reader(self._db, self._catalogue, name)
        self._pages = Pages(self._reader)
        self._lookup = Lookup(self._reader)
        self._naming = Naming(self._reader)
        self._parents = Parents(self._reader)
        self._proving = Proving(self._reader, self._pages)
        self._moved = MovedRows(self._reader, self._pages)

    def tables(self) -> list[str]:
        """Return the names of all tables and views, sorted."""
        return sorted(self._db.names())

    def table(self, name: str) -> Table:
        """Describe a table or view, as it is now."""
        return self._catalogue.look(name)

    def check_readable(self, selection: Selection) -> None:
        """Ask for the columns of no row."""
        columns = ", ".join(column.quoted for column in self._catalogue.columns(selection))
        statement = Sql(f"SELECT {columns} FROM ") + self._catalogue.rows(selection)
        self._db.scalars(statement + Sql(f" LIMIT {self._db.mark}", (0,)))

    def check_where(self, selection: Selection) -> None:
        """Look whether `where` is one condition over the table."""
        condition.check(self._db, selection, self._catalogue.table(selection))

    def check_joins(self, selection: Selection, tracked: Sequence[str]) -> None:
        """Look whether the database can join the tables, and compare what is tracked in them."""
        if not selection.joins:
            return
        value = self._catalogue.tracked(selection, tracked).value.quoted if tracked else "1"
        statement = Sql(f"SELECT {value} FROM ") + self._catalogue.rows(selection)
        try:
            self._db.scalars(statement + Sql(f" LIMIT {self._db.mark}", (0,)))
        except NotPermitted:
            raise
        except (SchemaMismatch, SourceRefused) as error:
            raise SchemaMismatch(f"The tables cannot be joined: {error.message}") from None

    def unique_keys(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return the primary key of a table and its other unique keys."""
        table = self._catalogue.described(name).table
        found = (*((table.key,) if table.key else ()), *self._db.unique_keys(name))
        return tuple(dict.fromkeys(found))

    def parents_of(
        self, selection: Selection, join: str, ids: Sequence[str], *, at_once: int = 10_000
    ) -> Iterator[tuple[str, ...]]:
        """Yield the key texts of the rows whose joined row is one of `ids`."""
        return self._parents.of(selection, join, ids, at_once)

    def count(self, selection: Selection, window: Window = _WHOLE) -> int:
        """Count the rows with a complete key in the window."""
        return self._number(Sql("SELECT count(*)") + self._rows_in(selection, window))

    def null_keys(self, selection: Selection) -> int:
        """Count rows in which a key column is NULL."""
        key = self._catalogue.key(selection)
        nulls = [Sql(f"{c.quoted} IS NULL") for c in key if c.column.nullable]
        if not nulls:
            return 0
        where = st.both([st.any_of(nulls), condition.holds(self._db, selection)])
        return self._number(Sql("SELECT count(*) FROM ") + self._table(selection) + where)

    def bounds(self, selection: Selection, shards: int) -> tuple[str, ...]:
        """Return the upper keys of all shards but the last.

        Each is found from the one before, so that together they walk the key's index once.
        """
        if shards < 2:
            return ()
        key = self._catalogue.key(selection)
        rows = self.count(selection)
        wanted = min(shards, rows)
        found: list[str] = []
        for shard in range(wanted - 1):
            size = rows * (shard + 1) // wanted - rows * shard // wanted
            tail = self._rows_in(selection, Window(after=found[-1] if found else None))
            tail += st.order_by(key) + Sql(f" LIMIT 1 OFFSET {size - 1}")
            bound = self._reader.read(selection, Query(key, key, selection.key, tail, 1)).last
            if bound is None:
                break  # Rows went away meanwhile.
            found.append(encode(bound))
        return tuple(found)

    def last_key(self, selection: Selection, window: Window = _WHOLE) -> str | None:
        """Return the largest key of the window, as the database orders keys."""
        key = self._catalogue.key(selection)
        tail = self._rows_in(selection, window) + st.order_by(key, descending=True)
        query = Query(key, key, selection.key, tail + Sql(" LIMIT 1"), 1)
        last = self._reader.read(selection, query).last
        return None if last is None else encode(last)

    def read_page(self, selection: Selection, window: Window, limit: int) -> SourcePage:
        """Read up to `limit` rows of the window in key order."""
        key = self._catalogue.key(selection)
        within = self._within(selection, window)
        hashed = self._proving.hashed(selection)
        return self._pages.read(selection, key, within, limit, shard=hashed)

    def read_rows(self, selection: Selection, ids: Sequence[str]) -> LookedUp:
        """Read the rows whose key, as text, is one of `ids`."""
        wanted, malformed = parse_ids(self._db, self._catalogue.key(selection), ids)
        found = self._lookup.read(selection, wanted, self._computed(selection))
        return replace(found, malformed=malformed | found.malformed)

    def name_rows(self, selection: Selection, ids: Sequence[str]) -> NamedRows:
        """Return the key texts of ids in any spelling."""
        return self._naming.name(selection, ids)

    def spell(self, selection: Selection, rows: Sequence[Sequence[str]]) -> list[str]:
        """Return the key texts of keys that the database's log told."""
        return spelled(self._catalogue.key(selection), rows)

    def is_loose(self, selection: Selection) -> bool:
        """Say whether keys of several texts may be equal."""
        return self._naming.is_loose(selection)

    def same_keys(
        self, selection: Selection, ids: Sequence[str], keys: Sequence[str]
    ) -> list[tuple[str, str]]:
        """Return the pairs of an id and a key text that are equal for the database."""
        return self._naming.same(selection, ids, keys)

    def read_changed(
        self,
        selection: Selection,
        tracked: str | Sequence[str],
        cursor: str | None,
        limit: int,
        *,
        since: str | None = None,
        upto: str | None = None,
        horizon: datetime | None = None,
    ) -> SourcePage:
        """Read up to `limit` rows ordered by (tracked, key), after `cursor` or from `since`."""
        followed = self._catalogue.tracked(selection, tracked)
        order = (followed.value, *self._catalogue.key(selection))
        conditions = [st.complete(order)]
        moved: list[Sql] = []
        if cursor is not None:
            conditions.append(st.after(self._db, order, self._position(followed, cursor)))
        begin = cursor or since
        if begin is not None and (cursor is None or len(followed.columns) > 1):
            # Beside a cursor it is for the columns' own indexes.
            value = self._position(followed, begin)[0]
            moved = followed.having(lambda column: self._db.since(column, value))
        if upto is not None:
            end = self._position(followed, upto)
            conditions.append(st.upto(self._db, (followed.value,), end))
        split = None if horizon is None else self._db.in_the_future(followed.value, horizon)
        conditions.append(split.upto if split else None)
        computed = self._computed(selection)
        if moved and followed.joined:
            names = (tracked,) if isinstance(tracked, str) else tuple(tracked)
            walk = MovedWalk(selection, names, upto, horizon)
            page = MovedPage(walk, order, moved, conditions, cursor, limit, computed)
            return self._moved.read(page)
        return self._pages.read(
            selection,
            order,
            [*conditions, *moved],
            limit,
            shard=computed,
            told=condition.told(self._db, selection),
        )

    def _position(self, followed: Followed, cursor: str) -> tuple[Scalar, ...]:
        value, *key = decode(cursor)
        return (self._db.as_latest(value) if followed.joined else value, *key)

    def high_water(
        self, selection: Selection, tracked: str | Sequence[str], horizon: datetime | None = None
    ) -> str | None:
        """Return the largest tracked value that is no time after `horizon`, as `since` takes it."""
        followed = self._catalogue.tracked(selection, tracked)
        largest = [
            self._largest(selection, followed, column, is_first, horizon)
            for column, is_first in followed.parts()
        ]
        value, tail = followed.value, largest[0]
        if len(largest) > 1:
            # Each by the index of its column; the largest of them is the database's to find.
            shown = [value] * len(largest) if followed.joined else followed.columns
            tail = Sql(" FROM (")
            for number, (column, part) in enumerate(zip(shown, largest, strict=True)):
                tail += Sql(f"{' UNION ALL ' if number else ''}SELECT * FROM (")
                tail += Sql(f"SELECT {column.quoted} AS tracked") + part
                tail += Sql(f") part{number}")
            of_parts = replace(followed.columns[0], column=value.column).called("parts.tracked")
            value = followed.read(of_parts)
            tail += Sql(f") parts ORDER BY {value.order} DESC LIMIT 1")
        found = self._reader.read(selection, Query((value,), (value,), (), tail, 1)).last
        return None if found is None else encode(found)

    def _largest(
        self,
        selection: Selection,
        followed: Followed,
        column: SourceColumn,
        set_first: Sql | None,
        horizon: datetime | None,
    ) -> Sql:
        # With joins, of the row that has this column's largest value the value is the latest of
        # all. So it is the largest where that comes of this column.
        shown, order = (
            (followed.value, self._db.latest([column.order]))
            if followed.joined
            else (column, column.order)
        )
        split = None if horizon is None else self._db.in_the_future(shown, horizon)
        where = st.both([set_first, split.upto if split else None])
        rows = self._catalogue.rows(selection) if followed.joined else self._table(selection)
        return Sql(" FROM ") + rows + where + Sql(f" ORDER BY {order} DESC LIMIT 1")

    def untracked(
        self, selection: Selection, tracked: str | Sequence[str], horizon: datetime
    ) -> Untracked:
        """Count the rows whose tracked value is NULL, and those with a time after `horizon`."""
        followed = self._catalogue.tracked(selection, tracked)
        beyond = [self._db.in_the_future(column, horizon) for column in followed.columns]
        later = followed.having(lambda column: self._beyond(column, horizon)) if all(beyond) else ()
        asked = [self._counted(selection, which) for which in (followed.untracked(), later)]
        row = self._db.scalars(Sql("SELECT ") + asked[0] + Sql(", ") + asked[1])
        assert row is not None
        return Untracked(missing=int(row[0]), in_the_future=int(row[1]))

    def _beyond(self, column: SourceColumn, horizon: datetime) -> Sql:
        split = self._db.in_the_future(column, horizon)
        return Sql("1 = 0") if split is None else split.beyond

    def out_of_order(self, selection: Selection, tracked: str | Sequence[str]) -> str | None:
        """Return a value that shows that a tracked column does not sort by time."""
        found: list[str] = []
        for column in self._catalogue.tracked(selection, tracked).columns:
            found += self._texts_of(selection, column)
        return out_of_order(found, both_notations=self._db.types_values)

    def _texts_of(self, selection: Selection, column: SourceColumn) -> list[str]:
        """Return the smallest and largest texts of a column; nothing of numbers, times or bytes."""
        if not self._db.types_values and column.column.kind not in _TEXTS:
            return []
        if column.column.database_type in ORDERED_TYPES:
            return []
        found: list[str] = []
        for direction in ("", " DESC"):
            tail = Sql(" FROM ") + self._catalogue.rows(selection)
            tail += st.both([st.complete([column])])
            tail += Sql(f" ORDER BY {column.order}{direction} LIMIT {_LOOKED_AT}")
            frame = self._reader.read(selection, Query((column,), (), (), tail, None)).frame
            texts = with_unfit(frame)[column.column.name]
            if texts.dtype == pl.String:
                found += texts.to_list()
        return found

    def written(self, selection: Selection) -> Written | None:
        """Return how far the table has been written to, where the source can tell."""
        return self._proving.written(selection)

    def unwritten(
        self, selection: Selection, kept: Written, *, patient: bool = True
    ) -> Written | None:
        """Return how far the table is written to now, if it was not written to since `kept`."""
        return self._proving.unwritten(selection, kept, patient=patient)

    def read_written(
        self, selection: Selection, since: str, window: Window, limit: int
    ) -> SourcePage:
        """Read up to `limit` rows that were written after `since`, in key order."""
        computed = self._computed(selection)
        return self._proving.read_written(selection, since, window, limit, computed)

    def key_sums(self, selection: Selection, since: str) -> KeySums:
        """Add up the keys, and count the rows written after `since`."""
        return self._proving.key_sums(selection, since)

    def buckets(self, selection: Selection, number: int) -> pl.DataFrame:
        """Return count and sum of the hashes of the keys, by bucket."""
        return self._proving.buckets(selection, number)

    def read_keys(
        self, selection: Selection, number: int, buckets: Sequence[int]
    ) -> Iterator[pl.Series]:
        """Yield the key texts of the rows in these buckets."""
        return self._proving.read_keys(selection, number, buckets)

    def hides_rows(self, *tables: str) -> HiddenRows | None:
        """Return why the source may hide rows of one of these tables from this user."""
        told = (self._db.hides_rows(table) for table in tables)
        return next((hidden for hidden in told if hidden is not None), None)

    def close(self) -> None:
        """Give back every connection."""
        self._db.close()

    def _table(self, selection: Selection) -> Sql:
        return Sql(self._catalogue.table(selection).quoted)

    def _rows_in(self, selection: Selection, window: Window) -> Sql:
        return Sql(" FROM ") + self._table(selection) + st.both(self._within(selection, window))

    def _within(self, selection: Selection, window: Window) -> list[Sql | None]:
        key = self._catalogue.key(selection)
        after = None if window.after is None else st.after(self._db, key, decode(window.after))
        upto = None if window.upto is None else st.upto(self._db, key, decode(window.upto))
        return [st.complete(key), after, upto, condition.holds(self._db, selection)]

    def _computed(self, selection: Selection) -> tuple[Computed, ...]:
        hashed = self._proving.hashed(selection)
        if not selection.bounds:
            return hashed
        bounds = [decode(bound) for bound in selection.bounds]
        number = st.shard_number(self._db, self._catalogue.key(selection), bounds)
        return (Computed(SHARD_COLUMN, number), *hashed)

    def _counted(self, selection: Selection, asked: Sequence[Sql]) -> Sql:
        """Count the rows that meet one of the conditions: the table's, then those of its joins."""
        complete = st.complete(self._catalogue.key(selection))
        counted = Sql("0")
        for one in st.apart(asked):
            where = st.both([complete, one, condition.holds(self._db, selection)])
            rows = self._catalogue.rows(selection) if selection.joins else self._table(selection)
            counted += Sql(" + (SELECT count(*) FROM ") + rows + where + Sql(")")
        return counted

    def _number(self, statement: Sql) -> int:
        row = self._db.scalars(statement)
        return int(row[0]) if row else 0
