"""Timing things side by side, so that a busy moment of the machine falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["interleaved", "timed"]

T = TypeVar("T")


def timed(action: Callable[[], object]) -> float:
    """Run `action` and return the seconds it took."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def interleaved(
    actions: Mapping[str, Callable[[], T]], *, repetitions: int, warm_up: int = 1
) -> dict[str, list[T]]:
    """Run all actions in turn, again and again; return what each returned, seconds as a rule.

    The first `warm_up` rounds are not kept: they import libraries and fill caches. Every other
    round goes backwards, so that nobody always comes after the same neighbour.
    """
    kept: dict[str, list[T]] = {name: [] for name in actions}
    for round_number in range(warm_up + repetitions):
        names = list(actions)[:: 1 if round_number % 2 == 0 else -1]
        for name in names:
            took = actions[name]()
            if round_number >= warm_up:
                kept[name].append(took)
    return kept
