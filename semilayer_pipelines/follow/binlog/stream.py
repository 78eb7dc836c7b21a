"""Reads a server's log in a thread of its own, and hands over what it tells in pieces.

In a thread, because whether more is to come cannot be asked of a stream: what has come is taken, as
one batch, and nobody waits for a batch to fill up.
"""

from __future__ import annotations

import logging
import queue
import threading
import zlib
from collections.abc import Collection, Iterator
from typing import Any

from semilayer_pipelines.errors import SemilayerError, SourceRefused, SourceUnreachable
from semilayer_pipelines.follow.binlog.pieces import Piece, Tables
from semilayer_pipelines.follow.binlog.position import Position, position_of
from semilayer_pipelines.follow.binlog.server import Server, driver
from semilayer_pipelines.follow.binlog.statements import ENDS, names_a_savepoint, verb
from semilayer_pipelines.follow.feed import Watched
from semilayer_pipelines.http.contract import Action

__all__ = ["LogGone", "Stream"]

logger = logging.getLogger(__name__)

_PIECES_AHEAD = 2_000
_CHANGES_A_PIECE = 1_000
_HEARTBEAT_SECONDS = 0.25
_SILENT_SECONDS = 30
_LEAVE_SECONDS = 5.0
_LOG_GONE = 1236
_LOST = 2013
# Events that hold others in a packed form, and GTIDs with tags: the reader does not open them.
_PACKED = frozenset({40, 42, *range(165, 172)})


class LogGone(Exception):
    """The server does not have the log any more from where reading was to go on."""


class Stream:
    """The log of a server behind a position; `take` gives what it tells of the watched tables.

    `take` may raise `LogGone`, `SourceUnreachable` and `SourceRefused`, and what the reader raised.
    """

    def __init__(self, server: Server, name: str, watched: Watched, position: str) -> None:
        self._server = server
        self._watched = watched
        self._is_mariadb = server.is_mariadb
        self._position: Position = position_of(position, is_mariadb=self._is_mariadb)
        self._tables = Tables(watched, server.tables(watched))
        # Of two readers with one number the server sends the first one away.
        self._server_id = 2**31 + zlib.crc32(name.encode()) % 2**31
        self._pieces: queue.Queue[Piece | Exception] = queue.Queue(_PIECES_AHEAD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"binlog {name}", daemon=True)
        self._thread.start()

    def take(self, seconds: float, limit: int) -> list[Piece]:
        """Return the pieces that came, at least one if one comes within `seconds`."""
        found: list[Piece] = []
        number = 0
        try:
            while number < limit:
                one = self._pieces.get(timeout=seconds) if not found else self._pieces.get_nowait()
                if isinstance(one, Exception):
                    if found:
                        # Told first, and found again by the next call.
                        self._pieces.put(one)
                        break
                    raise one
                found.append(one)
                number += len(one.changes)
        except queue.Empty:
            pass  # nothing more has come
        return found

    def close(self) -> None:
        """End the thread and its connections."""
        self._stop.set()
        self._thread.join(_LEAVE_SECONDS)
        self._server.close()

    def _run(self) -> None:
        try:
            reader = self._reader()
            try:
                for piece in self._read(reader):
                    self._put(piece)
                    if self._stop.is_set():
                        return
                self._put(self._lost("the server ended the connection"))
            finally:
                reader.close()
        except Exception as error:  # handed to whoever takes, who raises it
            logger.debug("the log is not read any more", exc_info=error)
            self._put(self._told(error))

    def _put(self, one: Piece | Exception) -> None:
        while not self._stop.is_set():
            try:
                self._pieces.put(one, timeout=0.2)
            except queue.Full:
                continue
            return

    def _reader(self) -> Any:
        from pymysqlreplication import binlogstream
        from pymysqlreplication import event as events
        from pymysqlreplication import row_event as rows

        streams = 0

        def connect(**settings: Any) -> Any:
            # The reader would go on after a lost connection in the middle of a transaction.
            nonlocal streams
            streams += "cursorclass" not in settings
            if streams > 1:
                raise driver().OperationalError(_LOST, "Lost connection to the server")
            return driver().connect(**settings)

        reader: Any = binlogstream.BinLogStreamReader  # without types
        settings = {**self._server.arguments, "connect_timeout": 10}
        return reader(
            connection_settings={**settings, "read_timeout": _SILENT_SECONDS},
            ctl_connection_settings=dict(settings),
            pymysql_wrapper=connect,
            server_id=self._server_id,
            blocking=True,
            slave_heartbeat=_HEARTBEAT_SECONDS,
            is_mariadb=self._is_mariadb,
            auto_position=self._position.text(),
            only_schemas=self._tables.schemas,
            only_tables=self._tables.tables,
            enable_logging=False,
            filter_non_implemented_events=False,
            only_events=[
                *(rows.WriteRowsEvent, rows.UpdateRowsEvent, rows.DeleteRowsEvent),
                *(rows.PartialUpdateRowsEvent, rows.TableMapEvent),
                *(events.MariadbGtidEvent, events.GtidEvent, events.XidEvent, events.QueryEvent),
                *(events.XAPrepareEvent, events.HeartbeatLogEvent, events.NotImplementedEvent),
            ],
        )

    def _read(self, reader: Any) -> Iterator[Piece]:
        """Yield pieces; an empty one when the server only says that it lives."""
        piece, mapped, told = Piece(), set[str](), set[str]()
        for event in reader:
            kind = type(event).__name__
            piece.place = (len(reader.log_file or ""), reader.log_file or "", reader.log_pos or 0)
            piece.written_at = float(event.timestamp)
            ended = False
            match kind:
                case "HeartbeatLogEvent":
                    yield Piece(place=piece.place)
                    continue
                case "MariadbGtidEvent" | "GtidEvent":
                    piece.gtid = event.gtid
                case "TableMapEvent":
                    mapped.update(self._tables.named(event))
                case "XidEvent" | "XAPrepareEvent":
                    ended = True
                case "QueryEvent" if verb(event.query) == "ROLLBACK":
                    _take_back(piece, told)
                    ended = not names_a_savepoint(event.query)
                case "QueryEvent":
                    ended = self._statement(event.query, piece)
                case "NotImplementedEvent":
                    if event.event_type in _PACKED:
                        piece.missed |= self._tables.all_missed("the log has packed parts")
                case _:
                    mapped.difference_update(self._tables.named(event))
                    self._tables.read(event, piece)
            if ended:
                piece.missed |= self._tables.cascaded(mapped)
                self._position.add(piece.gtid)
                piece.position = self._position.text()
            if ended or len(piece.changes) >= _CHANGES_A_PIECE:
                told.update(change.table for change in piece.changes)
                yield piece
                piece = Piece(gtid=piece.gtid)
                if ended:
                    mapped.clear()
                    told.clear()

    def _statement(self, statement: str, piece: Piece) -> bool:
        """Note what a statement may have changed; say whether it is the end of a transaction."""
        said = verb(statement)
        if said == "XA":
            # Rows of a prepared transaction were told before they could be seen.
            words = statement.split(None, 2)
            ended = len(words) > 1 and words[1].upper() in ENDS
            if ended:
                piece.missed |= self._tables.all_missed("a prepared transaction ended")
            return ended
        if said in ENDS:
            return True
        if said in ("BEGIN", "START", "SAVEPOINT", "RELEASE"):
            return False
        changed = self._tables.of_statement(statement, said)
        if changed:
            piece.missed |= changed
            self._tables = Tables(self._watched, self._server.tables(self._watched))
        # A statement that stands alone is a transaction; one that changes rows is followed by
        # the end of its own.
        return said not in ("INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH")

    def _told(self, error: Exception) -> Exception:
        """Return what a failure of the reader is for whoever takes."""
        if not isinstance(error, driver().Error):
            if isinstance(error, SemilayerError):
                return error
            return LogGone(f"the log cannot be decoded ({type(error).__name__})")
        code = error.args[0] if error.args else 0
        said = " ".join(str(error.args[-1]).split()) if error.args else type(error).__name__
        if code == _LOG_GONE and "same server" not in said:
            return LogGone(said)
        if code in (1045, 1227, 1044, 1142):
            return SourceRefused(
                f"source {self._server.source!r}: the log may not be read: {said}.",
                cure="GRANT REPLICATION SLAVE ON *.* TO this user.",
            )
        return self._lost(said)

    def _lost(self, said: str) -> SourceUnreachable:
        return SourceUnreachable(
            f"source {self._server.source!r}: the log cannot be read: {said}.",
            cure="It is tried again; check that the database is up.",
        )


def _take_back(piece: Piece, told: Collection[str]) -> None:
    """Let a transaction that is rolled back delete nothing: its rows are looked at instead.

    The log has such a one where part of it cannot be taken back, a temporary table for instance.
    What earlier pieces told, of the tables `told`, is missed.
    """
    piece.changes = [change._replace(action=Action.UPSERT) for change in piece.changes]
    piece.missed |= dict.fromkeys(told, "a transaction was rolled back")
