"""The feed of a binary log: its transactions, each told when it can be seen by others."""

from __future__ import annotations

import time
from collections import deque

from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from semilayer_pipelines.follow.binlog.pieces import Piece
from semilayer_pipelines.follow.binlog.server import Server
from semilayer_pipelines.follow.binlog.setup import refusals
from semilayer_pipelines.follow.binlog.stream import LogGone, Stream
from semilayer_pipelines.follow.feed import Batch, Lag, Watched

__all__ = ["BinlogFeed"]

_AT_ONCE = 5_000
_LOOK_AGAIN_SECONDS = 0.002
_HIDDEN_SECONDS = 60.0
_QUIET_SECONDS = 1.0


class BinlogFeed:
    """A `Feed` over the log of a MySQL or MariaDB server.

    `server` is for questions and `reading` for the thread that reads. The position is the server's
    GTIDs, so that reading goes on at another server of the same group, too. A log that was purged,
    or that cannot be decoded, is a reason to start over at its end.
    """

    def __init__(
        self, server: Server, reading: Server, name: str, watched: Watched, position: str | None
    ) -> None:
        self._server = server
        self._reading = reading
        self._name = name
        self._watched = watched
        self._kept: str | None = position
        self._told = position
        self._stream: Stream | None = None
        self._waiting: deque[Piece] = deque()
        self._hidden_since: float | None = None
        self._told_at = -_QUIET_SECONDS
        self._written_at: float | None = None
        refused = refusals(server, watched)
        if refused:
            raise SourceRefused(
                f"source {server.source!r}: {refused[0].told}", cure=refused[0].cure
            )

    def read(self, seconds: float) -> Batch | None:
        """Return what was written and can be seen; `None` when nothing came for that long."""
        if self._kept is None:
            return self._begin()
        try:
            return self._next(self._kept, seconds)
        except LogGone as gone:
            self._leave()
            self._kept = self._told = self._server.position()
            said = f"its log cannot be followed from where it was: {str(gone).rstrip('.')}."
            return Batch(self._kept, restarted=said)

    def confirm(self, position: str) -> None:
        """Do nothing: the server keeps its log as long as it is set to."""

    def lag(self) -> Lag:
        """Return the bytes of the log that were not read, and the age of what was read last."""
        seconds = 0.0 if self._written_at is None else max(0.0, time.time() - self._written_at)
        return Lag(None, seconds)

    def close(self) -> None:
        """Give every connection back."""
        self._leave()
        self._server.close()

    def _begin(self) -> Batch:
        self._kept = self._told = self._server.position()
        # Read from its end on: what is there already is found by the syncs.
        return Batch(self._kept, missed=dict.fromkeys(self._watched, "reading begins"))

    def _next(self, position: str, seconds: float) -> Batch | None:
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            if not self._waiting:
                self._take(position, left)
            self._pass_by()
            if self._waiting:
                return self._batch() if self._can_be_seen(until) else None
            # A position alone is told now and then, because each is written to the registry.
            if self._kept != self._told and time.monotonic() - self._told_at >= _QUIET_SECONDS:
                return self._batch()
            if left <= 0:
                return None

    def _pass_by(self) -> None:
        """Pass by what tells nothing: transactions of other tables, and the end of a long one."""
        if any(piece.changes or piece.missed for piece in self._waiting):
            return
        for piece in self._waiting:
            self._kept = piece.position or self._kept
            self._written_at = piece.written_at
        self._waiting.clear()

    def _take(self, position: str, seconds: float) -> None:
        if self._stream is None:
            self._stream = Stream(self._reading, self._name, self._watched, position)
        for piece in self._stream.take(seconds, _AT_ONCE):
            if piece.tells:
                self._waiting.append(piece)
            else:
                self._written_at = None  # a heartbeat: all was read

    def _can_be_seen(self, until: float) -> bool:
        """Wait until the newest of what waits can be seen; a server that never shows it is lost."""
        last = self._waiting[-1]
        self._hidden_since = self._hidden_since or time.monotonic()
        while not self._server.is_visible(last.gtid, last.place):
            if time.monotonic() - self._hidden_since > _HIDDEN_SECONDS:
                raise SourceUnreachable(
                    f"source {self._server.source!r}: a transaction of the log cannot be seen yet.",
                    cure="Connect to the server itself, and not to one of several behind a proxy; "
                    "or look at what its commits wait for.",
                )
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_AGAIN_SECONDS)
        self._hidden_since = None
        return True

    def _batch(self) -> Batch:
        pieces = list(self._waiting)
        self._waiting.clear()
        self._told_at = time.monotonic()
        for piece in pieces:
            self._kept = piece.position or self._kept
            self._written_at = piece.written_at
        assert self._kept is not None
        self._told = self._kept
        missed = {table: why for piece in pieces for table, why in piece.missed.items()}
        return Batch(self._kept, [one for piece in pieces for one in piece.changes], missed)

    def _leave(self) -> None:
        self._waiting.clear()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
