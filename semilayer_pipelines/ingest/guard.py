"""How many vectors a run may take out of an index unasked (invariant 5)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GUARD_ROWS", "SHOWN_KEYS", "Guard"]

GUARD_ROWS = 100
"""A guard never stops a sync that deletes no more rows than this."""

SHOWN_KEYS = 10
"""Keys that are named when a guard stops a job."""


@dataclass(frozen=True)
class Guard:
    """How many tombstones a sync may act upon unasked: a share of the index, from 0 to 1."""

    share: float

    def limit(self, indexed: int, rows_read: int) -> int:
        """Return the largest number of deletes that needs nobody's word.

        A source that showed no row at all is more likely broken than empty.
        """
        return max(GUARD_ROWS, int(indexed * self.share)) if rows_read else 0
