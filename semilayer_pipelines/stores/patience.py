"""How long whoever asks a store waits for one that went away.

A server that restarts is back within 6 to 11 s. A run that holds hours of work waits for it
(`patiently`); a person or an HTTP caller is told at once. As for the registry, a thread says so for
all that it asks, and those of `threads` with it.

A write that no interrupt reaches (`stores.uninterrupted`) is never patient, because whoever stops a
run would wait for it. The run waits between its attempts instead (`ingest.retry`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["RESTART_SECONDS", "Waits", "patiently", "threads"]

RESTART_SECONDS = 60.0
"""How long a run waits for a store that went away, before it spends an attempt."""

_LONGEST_WAIT_SECONDS = 2.0

_patient: ContextVar[bool] = ContextVar("store_patience", default=False)


@contextmanager
def patiently() -> Iterator[None]:
    """Within the block, this thread waits `RESTART_SECONDS` for a store that went away."""
    before = _patient.set(True)
    try:
        yield
    finally:
        _patient.reset(before)


def threads(most: int) -> ThreadPoolExecutor:
    """Return threads that are as patient as this one."""
    return ThreadPoolExecutor(most, initializer=_patient.set, initargs=(_patient.get(),))


class Waits:
    """The further waits of one request: longer each time, and together no longer than allowed.

    Of a caller who is not patient there are none.
    """

    def __init__(self) -> None:
        self.patient = _patient.get()
        self._until = time.monotonic() + RESTART_SECONDS
        self._next = 0.5

    def again(self) -> bool:
        """Wait, unless the patience is over; say whether to try once more."""
        left = self._until - time.monotonic()
        if not self.patient or left <= 0:
            return False
        time.sleep(min(self._next, left))
        self._next = min(2 * self._next, _LONGEST_WAIT_SECONDS)
        return True
