"""The rows of a statement as PostgreSQL writes them for COPY in binary.

It uses libpq itself, on psycopg's own connection: the driver's loop over a COPY costs more than all
else that is done to a row. The statement goes by the extended protocol, so no text in it can be a
second one.
"""

from __future__ import annotations

from collections.abc import Generator
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


def copy_out(connection: Connection[Any], statement: str, most: int) -> tuple[CopiedRows, bool]:
    """Return the rows of a statement until they weigh `most` bytes, and whether there were more.

    Raises psycopg's errors. After any other exception, an interruption for one, the connection is
    closed.
    """
    try:
        return _copied(connection, statement, most)
    except Error:
        raise
    except BaseException:
        connection.close()
        raise


def _copied(connection: Connection[Any], statement: str, most: int) -> tuple[CopiedRows, bool]:
    pg = connection.pgconn
    pg.send_query_params(f"COPY ({statement}) TO STDOUT (FORMAT binary)".encode(), None)
    connection.wait(_answer(pg))
    _expect(pg, pg.get_result(), ExecStatus.COPY_OUT)
    data, end = bytearray(), 0
    places = [_HEADER]
    next_piece, noted = pg.get_copy_data, places.append
    while True:
        # Each piece is a row. The first begins with a header, and the last is an end mark.
        size, piece = next_piece(1)
        if size == 0:
            connection.wait(_more(pg))
            continue
        if size < 0:
            _expect(pg, pg.get_result(), ExecStatus.COMMAND_OK)
            return _rows(data, places), False
        if end >= most and piece != _END:
            _stop(connection)
            return _rows(data, places), True
        data += piece
        end += size
        noted(end)


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
