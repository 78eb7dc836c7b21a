"""An iterator whose items a thread of its own makes ahead of who takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["made_ahead"]

T = TypeVar("T")


@contextmanager
def made_ahead(items: Iterator[T], most: int) -> Iterator[Iterator[T]]:
    """Lend `items`, of which at most `most` are made before they are asked for.

    What making one raises is raised where that one is asked for. After the block nothing is made.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")

    def taken() -> Iterator[T]:
        waiting: deque[Future[tuple[T, ...]]] = deque(
            thread.submit(_next_of, items) for _ in range(most)
        )
        while made := waiting.popleft().result():
            waiting.append(thread.submit(_next_of, items))
            yield made[0]

    try:
        yield taken()
    finally:
        thread.shutdown(cancel_futures=True)


def _next_of(items: Iterator[T]) -> tuple[T, ...]:
    """Return the next item alone; nothing where there is none."""
    for item in items:
        return (item,)
    return ()
