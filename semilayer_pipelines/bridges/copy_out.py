"""The rows of a statement as PostgreSQL writes them for COPY in binary.

It uses libpq itself, on psycopg's own connection: the driver's loop over a COPY costs more than all
else that is done to a row. The statement goes by the extended protocol, so no text in it can be a
second one. Rows are handed over piece by piece, and the server goes on sending meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.errors import Error, error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

__all__ = ["CopiedRows", "copy_out"]

_PIECE_BYTES = 2**21
"""Rows of about this weight are handed over together, unless one of them weighs more."""

_HEADER = 19
_END = b"\xff\xff"
# Read together with the last values of a page, whatever their size.
_PADDING = bytes(16)
_CANCEL_SECONDS = 5.0


@dataclass(frozen=True)
class CopiedRows:
    """The bytes of rows, one row behind the other, and where each begins.

    A row is the number of its fields in two bytes, and each field its length in four and its value.
    A length of -1 stands for NULL.
    """

    data: bytearray
    starts: NDArray[np.int64]


def copy_out(
    connection: Connection[Any], statement: str, most: int, take: Callable[[CopiedRows], None]
) -> bool:
    """Give `take` the rows of a statement until they weigh `most` bytes.

    Returns whether there were more. `take` is called once at least. Raises psycopg's errors. After
    any other exception, one of `take` or an interruption, the connection is closed.
    """
    try:
        return _copied(connection, statement, most, take)
    except Error:
        raise
    except BaseException:
        connection.close()
        raise


def _copied(
    connection: Connection[Any], statement: str, most: int, take: Callable[[CopiedRows], None]
) -> bool:
    pg = connection.pgconn
    pg.send_query_params(f"COPY ({statement}) TO STDOUT (FORMAT binary)".encode(), None)
    connection.wait(_answer(pg))
    _expect(pg, pg.get_result(), ExecStatus.COPY_OUT)
    held, begin = 0, _HEADER
    while held < most:
        rows, ended = _piece(connection, min(_PIECE_BYTES, most - held), begin)
        take(rows)
        if ended:
            return False
        held += len(rows.data)
        begin = 0
    return _goes_on(connection)


def _piece(connection: Connection[Any], most: int, begin: int) -> tuple[CopiedRows, bool]:
    """Return rows that weigh `most` bytes, or all that are left; and whether these are all."""
    pg = connection.pgconn
    data, end, places = bytearray(), 0, [begin]
    next_row = pg.get_copy_data
    while end < most:
        # The first row of a statement begins with a header, and behind the last is an end mark.
        size, row = next_row(1)
        if size > 0:
            data += row
            end += size
            places.append(end)
        elif size < 0:
            _expect(pg, pg.get_result(), ExecStatus.COMMAND_OK)
            return _rows(data, places), True
        else:
            connection.wait(_more(pg))
    return _rows(data, places), False


def _goes_on(connection: Connection[Any]) -> bool:
    """Say whether the server has another row; if so, have it end the statement."""
    pg = connection.pgconn
    while True:
        size, row = pg.get_copy_data(1)
        if size == 0:
            connection.wait(_more(pg))
        elif size < 0:
            _expect(pg, pg.get_result(), ExecStatus.COMMAND_OK)
            return False
        elif row != _END:
            _stop(connection)
            return True


def _answer(pg: PGconn) -> Generator[Wait, Ready | int, None]:
    while pg.flush():
        if (yield Wait.RW) & Ready.R:
            pg.consume_input()
    while pg.is_busy():
        yield from _more(pg)


def _more(pg: PGconn) -> Generator[Wait, Ready | int, None]:
    # Asked for again after each interval of the driver's, in which a person can interrupt it.
    while not (yield Wait.R):
        pass
    pg.consume_input()


def _expect(pg: PGconn, result: PGresult | None, status: ExecStatus) -> None:
    if result is not None and result.status == status == ExecStatus.COPY_OUT:
        return
    while pg.get_result() is not None:
        pass
    if result is None or result.status != status:
        raise error_from_result(result) if result else Error("the server gave no result")


def _stop(connection: Connection[Any]) -> None:
    """Have the server end the statement, and leave out what it sent meanwhile."""
    pg = connection.pgconn
    try:
        connection.cancel_safe(timeout=_CANCEL_SECONDS)
        while pg.get_copy_data(0)[0] >= 0:
            pass
        while pg.get_result() is not None:
            pass
    except Error:
        # The rows are here, and whoever is next opens another connection.
        connection.close()


def _rows(data: bytearray, places: list[int]) -> CopiedRows:
    starts = np.array(places, dtype=np.int64)
    # What is shorter than a field is the end mark, or nothing behind the header.
    whole = np.diff(starts, append=0) > len(_END)
    data += _PADDING
    return CopiedRows(data, starts[whole])
