"""Reads a server's log in a thread of its own, and hands over what it tells in pieces.

In a thread, because whether more is to come cannot be asked of a stream: what has come is taken, as
one batch, and nobody waits for a batch to fill up.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Collection, Iterator

from semilayer_pipelines.errors import SemilayerError, SourceRefused, SourceUnreachable
from semilayer_pipelines.follow.binlog.ahead import Ahead
from semilayer_pipelines.follow.binlog.events import (
    Alive,
    Begun,
    Described,
    Ended,
    Events,
    Incident,
    Lost,
    Rows,
    Said,
    Unread,
)
from semilayer_pipelines.follow.binlog.pieces import Piece, Tables
from semilayer_pipelines.follow.binlog.position import Position, position_of
from semilayer_pipelines.follow.binlog.server import Server, driver
from semilayer_pipelines.follow.binlog.statements import BEGINS, ENDS, names_a_savepoint, verb
from semilayer_pipelines.follow.feed import Watched
from semilayer_pipelines.http.contract import Action

__all__ = ["LogGone", "Stream"]

logger = logging.getLogger(__name__)

_CHANGES_A_PIECE = 1_000
_LEAVE_SECONDS = 5.0
_LOG_GONE = 1236
_UNREAD = "the log describes its columns in a way that cannot be read"


class LogGone(Exception):
    """The server does not have the log any more from where reading was to go on."""


class Stream:
    """The log of a server behind a position; `take` gives what it tells of the watched tables.

    All of it may raise `LogGone`, `SourceUnreachable` and `SourceRefused`.
    """

    def __init__(self, server: Server, name: str, watched: Watched, position: str) -> None:
        self._server = server
        self._watched = watched
        try:
            self._position: Position = position_of(position, is_mariadb=server.is_mariadb)
        except ValueError as error:  # MySQL in the place of a MariaDB, say
            raise LogGone(f"where it was read is no place in this server's log: {error}") from None
        self._tables = Tables(watched, server.tables(watched))
        # Of two readers with one number the server sends the first one away.
        self._server_id = 2**31 + zlib.crc32(name.encode()) % 2**31
        self._ahead = Ahead()
        self._thread = threading.Thread(target=self._run, name=f"binlog {name}", daemon=True)
        self._thread.start()

    def take(self, seconds: float, limit: int) -> list[Piece]:
        """Return the pieces that came, at least one if one comes within `seconds`.

        The last transaction that ends in them has the position behind it.
        """
        found = self._ahead.take(seconds, limit)
        try:
            self._note(found)
        except Exception as error:  # of the library; whoever takes has to get over it
            logger.debug("the position in the log cannot be noted", exc_info=error)
            raise self._told(error) from error
        return found

    def close(self) -> None:
        """End the thread and its connections."""
        self._ahead.close()
        self._thread.join(_LEAVE_SECONDS)
        self._server.close()

    def _note(self, pieces: Collection[Piece]) -> None:
        """Note the transactions that end in pieces, and the position behind the last one."""
        last: Piece | None = None
        for piece in pieces:
            if piece.ended:
                self._position.add(piece.gtid)
                last = piece
        if last is not None:
            last.position = self._position.text()

    def _run(self) -> None:
        try:
            events = Events(self._server, self._server_id, self._tables, self._position.text())
            try:
                for piece in self._read(events):
                    if not self._ahead.put(piece):
                        return
                self._ahead.fail(self._lost("the server ended the connection"))
            finally:
                events.close()
        except Exception as error:  # handed to whoever takes, who raises it
            logger.debug("the log is not read any more", exc_info=error)
            self._ahead.fail(self._told(error))

    def _read(self, events: Events) -> Iterator[Piece]:
        """Yield pieces; one that tells nothing when the server only says that it lives."""
        piece, mapped, told = Piece(), set[str](), set[str]()
        alone = True
        for event in events:
            lost = isinstance(event, Incident)  # told at once: perhaps nothing comes behind it
            match event:
                case Begun(gtid, alone):
                    piece.gtid = gtid
                case Described(names):
                    mapped.update(names)
                case Rows(rows, names, columns):
                    mapped.difference_update(names)
                    self._tables.read(rows, names, columns, piece)
                case Unread(names):
                    mapped.difference_update(names)
                    piece.missed |= dict.fromkeys(names, _UNREAD)
                case Ended():
                    piece.ended = True
                case Said(statement):
                    said = verb(statement)
                    if said == "ROLLBACK":
                        _take_back(piece, told)
                    alone = alone and said not in BEGINS
                    piece.ended = self._statement(statement, said, piece, events, alone)
                case Lost(why, whole):
                    piece.missed |= self._tables.all_missed(why)
                    piece.ended = whole and bool(piece.gtid)
                case Incident():
                    piece.missed |= self._tables.all_missed("the server lost a part of its log")
                    piece.ended = bool(piece.gtid)  # MySQL gives it a GTID, and no other end
                case Alive():
                    yield Piece()
                    continue
            if piece.ended:
                piece.missed |= self._tables.cascaded(mapped)
            if piece.ended or lost or len(piece.changes) >= _CHANGES_A_PIECE:
                piece.place, piece.written_at = events.place, events.written_at
                told.update(change.table for change in piece.changes)
                yield piece
                if piece.ended:
                    mapped.clear()
                    told.clear()
                    alone = True
                piece = Piece(gtid=piece.gtid)

    def _statement(
        self, statement: str, said: str, piece: Piece, events: Events, alone: bool
    ) -> bool:
        """Note what a statement may have changed; say whether it is the end of a transaction."""
        if said == "XA":
            # Rows of a prepared transaction were told before they could be seen.
            words = statement.split(None, 2)
            ended = len(words) > 1 and words[1].upper() in ENDS
            if ended:
                piece.missed |= self._tables.all_missed("a prepared transaction ended")
            return ended
        if said in ENDS:
            return not names_a_savepoint(statement)
        if said in BEGINS or said in ("SAVEPOINT", "RELEASE"):
            return False
        changed = self._tables.of_statement(statement, said)
        if changed:
            piece.missed |= changed
            self._tables = Tables(self._watched, self._server.tables(self._watched))
            events.look_again(self._tables)
        # Within a transaction no statement is its end: rows follow a CREATE TABLE ... SELECT.
        return alone

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
