"""A page of PostgreSQL as a frame, without an object for each value.

Times come as numbers. A column that has a time which no frame can hold, such as `infinity`, is read
again as the server's texts, and so is each later page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from psycopg import ClientCursor
from psycopg import Connection as Driver
from sqlalchemy.engine import Connection

from semilayer_pipelines.bridges.copied_columns import (
    beyond_calendar,
    check_type,
    column_of,
    fields,
)
from semilayer_pipelines.bridges.copy_out import CopiedRows, copy_out
from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Fetched, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.frames import times_of
from semilayer_pipelines.bridges.protocol import PAGE_BYTES
from semilayer_pipelines.bridges.server import Transaction

__all__ = ["CopiedPages"]

_TEXT = pl.String()
_AS_IN_FRAMES = (pl.Int64, pl.String)


@dataclass(frozen=True)
class _Item:
    """What is selected, and the type that it is read as."""

    name: str
    expression: Sql
    dtype: pl.DataType

    @property
    def selected(self) -> Sql:
        if not isinstance(self.dtype, pl.String):
            return self.expression
        return Sql("CAST(") + self.expression + Sql(" AS text)")


class CopiedPages:
    """Reads pages of one database; safe to use from several threads.

    `bind` turns the values of a statement into the driver's.
    """

    def __init__(self, bind: Callable[[Scalar], object]) -> None:
        self._bind = bind
        self._as_texts: frozenset[SourceColumn] = frozenset()

    def read(self, transaction: Transaction, query: Query) -> Fetched:
        """Read a page in a transaction of its own, or once more in another."""
        while True:
            as_texts = self._as_texts
            with transaction() as connection:
                try:
                    return self._read(connection, query, as_texts)
                except _BeyondCalendar as found:
                    self._as_texts = as_texts | found.columns

    def _read(
        self, connection: Connection, query: Query, as_texts: frozenset[SourceColumn]
    ) -> Fetched:
        items, positions = _items(query, as_texts)
        select = _select(items) + query.tail
        driver: Any = connection.connection.driver_connection
        params = tuple(map(self._bind, select.params))
        statement = ClientCursor(driver).mogrify(select.text, params)
        types = _types(driver, statement)
        for item, number in zip(items, types, strict=True):
            check_type(item.name, item.dtype, number)
        pieces = _Pieces(query.columns, items, types)
        try:
            cut = copy_out(driver, statement, PAGE_BYTES, pieces.take)
        finally:
            if driver.closed:
                connection.invalidate()
        made = pieces.columns()
        height = len(made[0])
        kept = height if query.limit is None else min(height, query.limit)
        cursor = [made[place] for place in positions]
        return Fetched(
            _frame(query, made).head(kept),
            lambda row: tuple(_scalar(series[row]) for series in cursor),
            cut or height > kept,
        )


class _BeyondCalendar(Exception):
    """Columns have times that a frame cannot hold."""

    def __init__(self, columns: Iterable[SourceColumn]) -> None:
        super().__init__()
        self.columns = frozenset(columns)


class _Pieces:
    """The columns of a page, made of its pieces while the server sends the next."""

    def __init__(
        self, columns: Sequence[SourceColumn], items: Sequence[_Item], types: Sequence[int]
    ) -> None:
        self._columns = columns
        self._items = list(zip(items, types, strict=True))
        self._made: list[list[pl.Series]] = [[] for _ in items]
        self._beyond: set[SourceColumn] = set()
        self._unfit: Exception | None = None

    def take(self, rows: CopiedRows) -> None:
        """Make the columns of a piece, unless a value is found that a frame cannot hold.

        Such a one is told at the end: the connection is then done with the statement, and stays.
        """
        if self._unfit is not None:
            return
        try:
            self._make(rows)
        except Exception as error:  # noqa: BLE001 - it is raised by `columns`
            self._unfit = error

    def _make(self, rows: CopiedRows) -> None:
        found = list(fields(rows, len(self._items)))
        for column, (item, _), field in zip(self._columns, self._items, found, strict=False):
            if beyond_calendar(field, item.dtype):
                self._beyond.add(column)
        if self._beyond:
            return
        for made, (item, number), field in zip(self._made, self._items, found, strict=True):
            made.append(column_of(item.name, field, item.dtype, number))

    def columns(self) -> list[pl.Series]:
        """Return the columns of all pieces; raise what the first unfit value has raised."""
        if self._unfit is not None:
            raise self._unfit
        if self._beyond:
            raise _BeyondCalendar(self._beyond)
        return [pl.concat(made, rechunk=True) for made in self._made]


def _items(query: Query, as_texts: frozenset[SourceColumn]) -> tuple[list[_Item], list[int]]:
    """Return what is selected, and the places of the cursor's values in it."""
    items = [
        _Item(c.column.name, Sql(c.expression), _TEXT if c in as_texts else c.dtype)
        for c in query.columns
    ]
    dtypes = query.dtypes()
    items += [_Item(c.name, c.expression, dtypes[c.name]) for c in query.computed]
    positions: list[int] = []
    for column in query.cursor:
        if column in query.columns and isinstance(column.dtype, _AS_IN_FRAMES):
            positions.append(query.columns.index(column))
            continue
        # A time in a cursor is the server's text. Other values have one in frames that differs.
        timely = isinstance(column.dtype, pl.Datetime | pl.Date)
        positions.append(len(items))
        dtype = _TEXT if timely else column.dtype
        items.append(_Item(column.column.name, Sql(column.expression), dtype))
    return items, positions


def _select(items: Sequence[_Item]) -> Sql:
    select = Sql("SELECT ")
    for place, item in enumerate(items):
        # Named, or an ORDER BY would take the text of a column for the column.
        select += item.selected + Sql(f" AS semilayer_{place}{', ' * (place < len(items) - 1)}")
    return select


def _types(driver: Driver[Any], statement: str) -> list[int]:
    """Return the types of what a statement selects, by which its bytes are read.

    The tables stay as they are until the transaction ends: this has them locked.
    """
    cursor = driver.execute(f"SELECT * FROM ({statement}) described LIMIT 0", binary=True)
    return [column.type_code for column in cursor.description or ()]


def _frame(query: Query, made: Sequence[pl.Series]) -> pl.DataFrame:
    typed: list[pl.Series] = []
    beside: list[pl.Series] = []
    for (name, dtype), series in zip(query.dtypes().items(), made, strict=False):
        if isinstance(dtype, pl.Datetime | pl.Date) and series.dtype == pl.String:
            series, unfit = times_of(series, dtype)
            beside += [] if unfit is None else [unfit]
        elif name in query.key and series.dtype == pl.Binary:
            # Key text must be text.
            series = series.bin.encode("hex")
        typed.append(series)
    return pl.DataFrame([*typed, *beside])


def _scalar(value: object) -> Scalar:
    return value if isinstance(value, bytes) else str(value)
