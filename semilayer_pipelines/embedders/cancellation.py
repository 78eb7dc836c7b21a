"""Ending what is under way for somebody who no longer wants it: requests that wait for an answer.

Whoever embeds in a thread of its own sets a `Cancellation` there; an embedder that can be stopped
looks for it. A model that runs here cannot, and finishes what it was given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Cancellation", "cancelled_by", "current"]

_current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


class Cancellation:
    """Ends what was entered, and whatever is entered later at once. Safe to share by threads."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []
        self._cancelled = False
        self._changing = threading.Lock()

    @property
    def reaches(self) -> bool:
        """Whether something is under way that can be ended."""
        return bool(self._ends)

    def cancel(self) -> None:
        """End what is under way."""
        with self._changing:
            self._cancelled = True
            ends = [*self._ends]
        for end in ends:
            end()

    @contextmanager
    def of(self, end: Callable[[], object]) -> Iterator[None]:
        """Have the work of a block ended by `end`."""
        with self._changing:
            self._ends.append(end)
            cancelled = self._cancelled
        try:
            if cancelled:
                end()
            yield
        finally:
            with self._changing:
                self._ends.remove(end)


@contextmanager
def cancelled_by(cancellation: Cancellation) -> Iterator[None]:
    """Let the embedders that a block calls be stopped by `cancellation`."""
    token = _current.set(cancellation)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Cancellation | None:
    """Return what may stop an embedder that is called here."""
    return _current.get()
