"""Something that goes on in a thread beside a test, and whose errors are the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["beside"]


@contextmanager
def beside(work: Callable[[], object], *, pause: float = 0.0) -> Iterator[None]:
    """Do some work over and over, for as long as the block lasts; what it raises fails the test."""
    stop, broken = threading.Event(), list[Exception]()

    def over_and_over() -> None:
        try:
            while not stop.wait(pause):
                work()
        except Exception as error:  # noqa: BLE001 - raised again where somebody sees it
            broken.append(error)

    thread = threading.Thread(target=over_and_over)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if broken:
        raise broken[0]
