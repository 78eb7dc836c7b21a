"""How long a job that failed waits before it is tried again: longer each time, up to a bound."""

from __future__ import annotations

from datetime import timedelta

__all__ = ["FIRST_WAIT", "LONGEST_WAIT", "SOON", "wait_before_retry"]

SOON = timedelta(seconds=10)
"""The wait after the first failure of what did not answer: most outages are a hiccup."""

FIRST_WAIT = timedelta(minutes=1)
"""The wait before a job that failed is tried again; it doubles with each failure in a row."""

LONGEST_WAIT = timedelta(hours=1)
"""No job that failed waits longer than this before it is tried again."""


def wait_before_retry(failures: int, *, hiccup: bool) -> timedelta:
    """Return the wait after so many failures in a row, counted from 1: it doubles up to an hour.

    `hiccup`: something did not answer. It is asked once more after 10 s, before the longer waits.
    """
    if hiccup and failures == 1:
        return SOON
    doublings = failures - 2 if hiccup else failures - 1
    # Bounded before it is computed: after a week of failures the power would not fit a timedelta.
    longest = (LONGEST_WAIT // FIRST_WAIT).bit_length()
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << min(doublings, longest)))
