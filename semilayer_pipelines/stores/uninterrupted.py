"""Writes that an interrupt cannot cut in two."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

__all__ = ["to_the_end"]

T = TypeVar("T")


def to_the_end(write: Callable[[], T]) -> T:
    """Run a write where an interrupt cannot reach it, so that the lock outlasts it.

    The interrupt is raised as soon as the write has ended; one that comes first prevents it.
    """
    may_begin, wanted = Event(), True

    def begun() -> T:
        may_begin.wait()
        if not wanted:
            raise CancelledError
        return write()

    with ThreadPoolExecutor(1, thread_name_prefix="store-write") as pool:
        try:
            # An interrupt in here may leave a thread that the pool does not wait for.
            writing = pool.submit(begun)
            may_begin.set()
        except BaseException:
            wanted = False
            may_begin.set()
            raise
        return writing.result()
