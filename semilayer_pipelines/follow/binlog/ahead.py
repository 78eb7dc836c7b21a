"""Pieces that were read and not taken yet, between the thread that reads and the one that takes."""

from __future__ import annotations

import threading
from collections import deque

from semilayer_pipelines.follow.binlog.pieces import Piece

__all__ = ["Ahead"]

_MOST_CHANGES = 10_000
"""So much is read ahead: changes, and transactions that have none."""


class Ahead:
    """Hands pieces over in their order. Whoever reads waits while much is ahead of who takes."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._failure: Exception | None = None
        self._is_closed = False
        self._moved = threading.Condition()

    def put(self, piece: Piece) -> bool:
        """Add a piece once there is room; return False when nobody takes any more."""
        with self._moved:
            while self._size >= _MOST_CHANGES and not self._is_closed:
                self._moved.wait()
            self._pieces.append(piece)
            self._size += _size(piece)
            self._moved.notify()
            return not self._is_closed

    def fail(self, error: Exception) -> None:
        """Let `take` raise an error once the pieces before it are taken."""
        with self._moved:
            self._failure = error
            self._moved.notify()

    def take(self, seconds: float, limit: int) -> list[Piece]:
        """Return the next pieces, up to so many changes, as soon as one is there.

        None come within `seconds`: none are returned. Raises what `fail` was given, each time.
        """
        found, size = list[Piece](), 0
        with self._moved:
            self._moved.wait_for(lambda: self._pieces or self._failure, seconds)
            if self._failure is not None and not self._pieces:
                raise self._failure
            while self._pieces and size < limit:
                found.append(self._pieces.popleft())
                size += _size(found[-1])
            self._size -= size
            self._moved.notify()
        return found

    def close(self) -> None:
        """Let whoever waits to put a piece go on."""
        with self._moved:
            self._is_closed = True
            self._moved.notify()


def _size(piece: Piece) -> int:
    return max(1, len(piece.changes))
