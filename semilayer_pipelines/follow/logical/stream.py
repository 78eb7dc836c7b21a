"""The log of PostgreSQL as a slot decodes it, over a replication connection.

psycopg has no replication of its own, but all of libpq that it takes. Unlike psycopg2's cursor,
which confirms what the server says it has sent, this stream confirms what it is told to and nothing
else.
"""

from __future__ import annotations

import select
import struct
import time
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from semilayer_pipelines.follow.logical.server import lsn_text
from semilayer_pipelines.follow.postgres import Session

if TYPE_CHECKING:
    import psycopg

__all__ = ["PublicationGone", "Stream"]

FREE_SECONDS = 5.0
"""A slot that another connection reads is waited for so long: one of ours may be ending."""

STATUS_SECONDS = 5.0
"""The server hears from us at least this often, while somebody reads."""

# As the bridge's sessions have it, so that keys are written as a walk reads them.
_SETTINGS = (
    "-c TimeZone=UTC -c DateStyle=ISO,YMD -c extra_float_digits=3 -c bytea_output=hex "
    "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
)
_EPOCH = 946_684_800
"""The year 2000, from which the server counts, in seconds since 1970."""


class PublicationGone(SourceRefused):
    """The log comes from a time when there was no publication, and cannot be decoded by it."""


class Stream:
    """One reading of a slot, from a position on.

    `seen` is the position up to which everything that there was has been handed out, as far as the
    server said so. Raises `SourceUnreachable` and `SourceRefused`.
    """

    def __init__(self, session: Session, slot: str, lsn: int) -> None:
        self._session = session
        self._confirmed = self.seen = lsn
        self._told_at = time.monotonic()
        with session.failures():
            self._connection = _connect(session.arguments)
            try:
                self._start(slot, lsn)
            except BaseException:
                self._connection.close()
                raise
        self._pg = self._connection.pgconn

    def next(self) -> bytes | None:
        """Return the next message of the plugin; `None` when none is there yet."""
        with self._session.failures():
            while True:
                size, data = self._pg.get_copy_data(1)
                if size == 0:
                    return None
                if size < 0:
                    raise self._ended()
                message = bytes(data)
                if message[:1] == b"w":
                    return message[25:]
                self._keep_alive(message)

    def wait(self, seconds: float) -> None:
        """Wait for something to come, for so long at most, and take it in."""
        if time.monotonic() - self._told_at > STATUS_SECONDS:
            self._tell()
        select.select([self._pg.socket], [], [], min(seconds, STATUS_SECONDS))
        with self._session.failures():
            self._pg.consume_input()

    def confirm(self, lsn: int) -> None:
        """Let the server forget the log before a position."""
        self._confirmed = max(self._confirmed, lsn)
        self._tell()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _start(self, slot: str, lsn: int) -> None:
        from psycopg import errors
        from psycopg.pq import ExecStatus

        command = (
            f'START_REPLICATION SLOT "{slot}" LOGICAL {lsn_text(lsn)} '
            f"(proto_version '1', publication_names '\"{slot}\"')"
        )
        until = time.monotonic() + FREE_SECONDS
        while True:
            result = self._connection.pgconn.exec_(command.encode())
            if result.status == ExecStatus.COPY_BOTH:
                return
            error = errors.error_from_result(result)
            if not isinstance(error, errors.ObjectInUse):
                raise error
            if time.monotonic() > until:
                raise SourceUnreachable(
                    f"source {self._session.source!r}: its slot {slot} is being read by another "
                    "connection.",
                    cure="It is free when the server notices that the other one has gone.",
                )
            time.sleep(0.1)

    def _ended(self) -> Exception:
        """Return why the server ended the stream."""
        from psycopg import OperationalError, errors

        result = self._pg.get_result()
        if result is None or not result.error_message:
            return OperationalError("the server ended the replication")
        error = errors.error_from_result(result)
        if isinstance(error, errors.UndefinedObject):
            return PublicationGone(
                f"source {self._session.source!r}: its log is older than its publication.",
                cure="Following starts over.",
            )
        return error

    def _keep_alive(self, data: bytes) -> None:
        seen, _, wants_reply = struct.unpack_from(">QQB", data, 1)
        self.seen = max(self.seen, seen)
        if wants_reply:
            self._tell()

    def _tell(self) -> None:
        now = int((time.time() - _EPOCH) * 1_000_000)
        at = self._confirmed
        with self._session.failures():
            self._pg.put_copy_data(struct.pack(">cQQQQB", b"r", at, at, at, now, 0))
            self._pg.flush()
        self._told_at = time.monotonic()


def _connect(arguments: dict[str, Any]) -> psycopg.Connection[Any]:
    import psycopg

    options = f"{arguments.get('options', '')} {_SETTINGS}".strip()
    return psycopg.connect(
        **{**arguments, "options": options}, replication="database", autocommit=True
    )
