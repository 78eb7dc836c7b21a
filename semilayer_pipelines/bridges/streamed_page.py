"""A page of MariaDB or MySQL as a frame, out of the driver's rows while they arrive."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import islice
from typing import Any

from pymysql.cursors import SSCursor

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Fetched, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.frames import frame_of
from semilayer_pipelines.bridges.protocol import PAGE_BYTES
from semilayer_pipelines.bridges.server import Transaction
from semilayer_pipelines.bridges.unfit import RowsDoNotFit

__all__ = ["StreamedPages"]

# As many as cost little time, and few enough to be held beside a page that is full.
_ROWS_AT_A_TIME = 16

_Row = tuple[Any, ...]


class StreamedPages:
    """Reads pages of one database; safe to use from several threads.

    `scalar` turns a raw value of a column into a cursor's.
    """

    def __init__(self, scalar: Callable[[SourceColumn, Any], Scalar]) -> None:
        self._scalar = scalar
        self._at_a_time = _ROWS_AT_A_TIME

    def read(self, transaction: Transaction, query: Query) -> Fetched:
        """Read a page in one transaction."""
        expressions = [column.expression for column in query.columns]
        # A tracked column that was not asked for is read last and left out of the frame.
        hidden = [c for c in query.cursor if c not in query.columns]
        select = Sql("SELECT " + ", ".join(expressions))
        for one in query.computed:
            select += Sql(", ") + one.expression
        select += Sql("".join(f", {column.expression}" for column in hidden)) + query.tail
        rows, cut = self._some(transaction, select, query.heavy())
        kept = rows[: query.limit]
        return Fetched(
            frame_of(query, kept),
            lambda row: self._cursor(query, hidden, kept[row]),
            cut or len(rows) > len(kept),
        )

    def _some(
        self, transaction: Transaction, select: Sql, heavy: list[int]
    ) -> tuple[list[_Row], bool]:
        """Return rows until they weigh `PAGE_BYTES`, and whether there were more."""
        rows: list[_Row] = []
        weight, cut = 0, False
        with transaction() as connection:
            driver = connection.connection.driver_connection
            stream = _stream(driver, select, self._at_a_time)
            ended = False
            try:
                while weight < PAGE_BYTES and (few := list(islice(stream, self._at_a_time))):
                    rows += few
                    weight += _weight(few, heavy)
                # One row more tells whether anything follows.
                cut = next(stream, None) is not None
                ended = not cut
            finally:
                stream.close()
                if not ended:
                    connection.invalidate()
        # Rows that follow heavy ones are likely to be heavy, too.
        self._at_a_time = 1 if cut else _ROWS_AT_A_TIME
        return rows, cut

    def _cursor(self, query: Query, hidden: list[SourceColumn], row: _Row) -> tuple[Scalar, ...]:
        at = {column.column.name: i for i, column in enumerate(query.columns)}
        at |= {c.column.name: len(row) - len(hidden) + i for i, c in enumerate(hidden)}
        return tuple(self._scalar(c, row[at[c.column.name]]) for c in query.cursor)


def _stream(connection: Any, select: Sql, at_a_time: int) -> Generator[_Row, None, None]:
    cursor = connection.cursor(SSCursor)
    cursor.execute(select.text, select.params)
    try:
        while rows := cursor.fetchmany(at_a_time):
            yield from rows
    finally:
        # To close it, the driver would read all rows that are left; the connection is dropped
        # instead. Of a stream that has ended there are none.
        if connection._result is not None:
            connection._result.unbuffered_active = False
        cursor.connection = None


def _weight(rows: list[_Row], heavy: list[int]) -> int:
    try:
        return sum(len(row[i]) for i in heavy for row in rows if row[i])
    except TypeError as error:
        raise RowsDoNotFit(str(error)) from error
