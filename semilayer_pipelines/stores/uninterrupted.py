"""Writes that an interrupt cannot cut in two."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["to_the_end"]

T = TypeVar("T")


def to_the_end(write: Callable[[], T]) -> T:
    """Run a write where an interrupt cannot reach it, so that the lock outlasts it.

    The interrupt is raised as soon as the write has ended.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="store-write") as pool:
        return pool.submit(write).result()
