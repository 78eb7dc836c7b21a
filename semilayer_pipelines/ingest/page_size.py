"""How many rows the next page has.

A page is the unit of commit, of pause and of progress, so it should take seconds, not minutes, with
a slow model, and be large where rows fly by, because every page has a fixed cost.
"""

from __future__ import annotations

__all__ = ["PageSize", "next_page_rows"]

FIRST_PAGE_ROWS = 500
"""Rows of a walk's first page, of which nobody knows yet how fast it goes."""

MIN_PAGE_ROWS = 200
"""Rows of the smallest page, however slow the model is."""

MAX_PAGE_ROWS = 8_000
"""Rows of the largest page, however fast they are done."""

COMPARED_TIMES = 2
"""So many times as many rows a page may have after one of which few had to be written."""

TARGET_SECONDS = 5.0
"""A page should take about this long; the next one gets as many rows as that allows."""


def next_page_rows(rows: int, seconds: float, *, compared: bool = False) -> int:
    """Return the size of the next page when the last took `seconds` for `rows` rows.

    Grows at most tenfold a page, so that one quick page does not decide alone. `compared`: few of
    the rows had to be written. Those that have not hold no vectors, which are most of a page.
    """
    if rows <= 0:
        return FIRST_PAGE_ROWS
    wanted = int(rows * TARGET_SECONDS / max(seconds, 1e-6))
    most = MAX_PAGE_ROWS * (COMPARED_TIMES if compared else 1)
    return max(MIN_PAGE_ROWS, min(wanted, rows * 10, most))


class PageSize:
    """How many rows the next page of a walk has; told by whoever applies the pages."""

    def __init__(self) -> None:
        self.rows = FIRST_PAGE_ROWS

    def took(self, rows: int, seconds: float, *, compared: bool = False) -> None:
        """Note how long a page took, and whether it was but `compared`, or nearly."""
        self.rows = next_page_rows(rows, seconds, compared=compared)
