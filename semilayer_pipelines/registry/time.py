"""The registry's time, by which leases, heartbeats, due times and rate windows are counted.

Several machines write to a registry on a server, and the clock of one may be an hour off. So its
own clock is asked now and then. This process's steady clock, which nobody sets, counts in between.
A SQLite file has no other clock than the machine's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

__all__ = ["AHEAD", "RegistryTime", "silent_since"]

AHEAD = timedelta(minutes=2)
"""What is noted for a time further ahead of us was noted by a clock that was wrong."""

MEASURED_FOR_S = 60.0
"""How long a measurement is good for: steady clocks drift by some milliseconds in it."""


class RegistryTime:
    """Tells the time of one registry; safe to share between threads."""

    def __init__(
        self,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._measured: tuple[datetime, float] | None = None
        self._measuring = threading.Lock()

    def __call__(self) -> datetime:
        """Return the time, zoned; the machine's own as long as no server was asked."""
        measured = self._measured
        if measured is None:
            return self._wall()
        told, at = measured
        return told + timedelta(seconds=self._steady() - at)

    def is_due(self) -> bool:
        """Say whether a server should be asked for its time."""
        measured = self._measured
        return measured is None or self._steady() - measured[1] > MEASURED_FOR_S

    def measure(self, db: Connection) -> None:
        """Ask the server on the other side of a connection; its transaction is ended."""
        if not self._measuring.acquire(blocking=False):
            return  # another thread does it
        try:
            told: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
            self._measured = told.astimezone(UTC), self._steady()
        finally:
            self._measuring.release()
            db.rollback()


def silent_since(beat: ColumnElement[Any], before: datetime) -> ColumnElement[bool]:
    """Return the condition that the last sign of life was given before a time.

    One that comes from the future was given by a clock that was wrong, and says nothing.
    """
    return or_(beat < before, beat > before + 2 * AHEAD)
