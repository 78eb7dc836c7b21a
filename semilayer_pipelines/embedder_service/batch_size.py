"""How much text goes into one batch.

A new request waits for the batch before it, so a batch should take a fraction of a second. Within
that it should be as large as possible: an accelerator is only fast with many texts at once.
"""

from __future__ import annotations

__all__ = ["FIRST_BUDGET", "MAX_BUDGET", "MIN_BUDGET", "next_budget"]

MIN_BUDGET = 8_000
"""Padded characters, like the other two: some twenty texts of ordinary length keep a core busy."""

FIRST_BUDGET = 16_000
MAX_BUDGET = 4_000_000

TARGET_SECONDS = 0.25


def next_budget(budget: int, cost: int, seconds: float) -> int:
    """Return the padded characters of the next batch when a full one of `cost` took `seconds`.

    At most doubles, so that one quick batch does not decide alone.
    """
    wanted = int(cost * TARGET_SECONDS / max(seconds, 1e-6))
    return max(MIN_BUDGET, min(wanted, budget * 2, MAX_BUDGET))
