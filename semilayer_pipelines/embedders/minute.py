"""What went to one endpoint within the last minute: counted second by second, shared in a file.

Runs of several shards are processes of their own, and have one limit together. Those of one machine
count in one file. It is a hint for the next minute: losing it costs nothing but refusals.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

__all__ = ["Cost", "Minute", "minute_file"]

logger = logging.getLogger(__name__)

_SLOTS = 61  # a whole minute, besides the second that has begun
_SECOND, _REQUESTS, _TOKENS = range(3)
_BLOCKED = _SLOTS  # a row of its own, in milliseconds
_SHAPE = (_SLOTS + 1, 3)

Cost = tuple[int, int]
"""Requests and tokens."""


def minute_file(name: str) -> Path:
    """Return the file in which the processes of this machine count, by the name of the endpoint."""
    return user_cache_path("semilayer") / "minutes" / name


class Minute:
    """Requests and tokens of the last minute; in memory alone, or in a file that others use too.

    `file` may be unusable: then each process counts for itself.
    """

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._file: FileIO | None = None
        self._counts: NDArray[np.int64] = np.zeros(_SHAPE, np.int64)
        if file is not None:
            try:
                self._open(file)
            except OSError as error:
                logger.warning("Rate limits are counted by each process alone: %s.", error)

    @contextmanager
    def held(self) -> Iterator[Minute]:
        """Keep the other processes out for a moment, so that a look and an entry are one step."""
        if self._file is None:
            yield self
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield self
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def spent(self, seconds: int) -> Cost:
        """Return what went within the last so many seconds, the one that has begun besides."""
        now = int(self._clock())
        of = self._counts[:_SLOTS]
        recent = of[(of[:, _SECOND] >= now - seconds) & (of[:, _SECOND] <= now)]
        return int(recent[:, _REQUESTS].sum()), int(recent[:, _TOKENS].sum())

    def add(self, tokens: int) -> int:
        """Enter a request of so many tokens; return its second, for `correct`."""
        now = int(self._clock())
        slot = self._counts[now % _SLOTS]
        if slot[_SECOND] != now:
            slot[:] = (now, 0, 0)
        slot[_REQUESTS] += 1
        slot[_TOKENS] += tokens
        return now

    def correct(self, second: int, tokens: int) -> None:
        """Add tokens to a request of that second, which may be fewer than none."""
        slot = self._counts[second % _SLOTS]
        if slot[_SECOND] == second:
            slot[_TOKENS] += tokens

    def block(self, seconds: float) -> None:
        """Note that nothing may be sent for so long from now on, whatever was noted before."""
        self._counts[_BLOCKED, 0] = int((self._clock() + seconds) * 1_000)

    def blocked(self, longest: float) -> float:
        """Return for how many seconds nothing may be sent.

        More than the `longest` that anybody notes is of a clock that was set back, and no wait.
        """
        left = float(self._counts[_BLOCKED, 0]) / 1_000 - self._clock()
        return left if 0 < left <= longest else 0.0

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, file: Path) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = self._counts.nbytes
        opened = FileIO(file, "a+")
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
            if opened.seek(0, 2) != size:
                opened.truncate(0)
                opened.truncate(size)
            self._counts = np.memmap(file, np.int64, "r+", shape=_SHAPE)
            fcntl.flock(opened, fcntl.LOCK_UN)
        except OSError:
            opened.close()
            raise
        self._file = opened
