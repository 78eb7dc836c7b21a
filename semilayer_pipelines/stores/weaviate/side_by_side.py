"""Several requests at the same time, none of which an interrupt cuts in two."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["side_by_side"]

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(
    action: Callable[[T], R],
    items: Iterable[T],
    at_once: int,
    threads: Callable[[int], ThreadPoolExecutor] = ThreadPoolExecutor,
) -> list[R]:
    """Run an action for each item, some at a time; return what came of each, in their order.

    Whatever is raised, an interrupt too, is raised when those under way have ended. The others are
    not begun then. So only questions may be patient (`stores.patience.threads`), and no write.
    """
    every = list(items)
    if not every:
        return []
    with threads(min(at_once, len(every))) as asking:
        under_way = [asking.submit(action, item) for item in every]
        try:
            return [each.result() for each in under_way]
        except BaseException:
            for each in under_way:
                each.cancel()
            raise
