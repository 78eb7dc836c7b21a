"""Whether a table was left alone on a server that is busy with others, told by late counters.

A session of PostgreSQL adds what it wrote to the table's counters when it becomes idle, unless it
did so within the last second: then after 10 seconds of rest. So what was committed before a moment
is counted 12 seconds later, unless a session was at work all that time: a long transaction, or a
procedure that commits on its way. Then nothing is proven.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

from semilayer_pipelines.bridges.protocol import Written

__all__ = ["Sessions", "unwritten"]

Sessions = Callable[[], dict[int, bool] | None]
"""Returns the sessions that may write to the table, and whether each is in a transaction.

`None` where that is not to be known, or nothing comes late.
"""

_LOOKS = 12
_FURTHER = 4
"""More looks at sessions that happened to be at work when they were looked at last."""

_EVERY_S = 1.0


def unwritten(
    look: Callable[[], Written | None], sessions: Sessions, kept: Written, *, patient: bool = True
) -> Written | None:
    """Return how far the table is written to now, if it was not written to since `kept`.

    Marks are of two parts, of which the second are the counters (`written_postgres`).
    """
    now = look()
    if now is None or now.place != kept.place:
        return None
    if _same_first(now, kept):
        return now
    if not patient or not _same_counters(now, kept):
        return None
    if not _all_count(sessions):
        return None
    later = look()
    if later is None or later.place != kept.place or not _same_counters(later, kept):
        return None
    return now


def _all_count(sessions: Sessions) -> bool:
    """Wait until every session has counted what it had committed; say whether they have."""
    seen: list[dict[int, bool]] = []
    for _ in range(_LOOKS + _FURTHER):
        found = sessions()
        if found is None:
            return False
        seen.append(found)
        time.sleep(_EVERY_S)
        if len(seen) >= _LOOKS and all(_has_counted(session, seen) for session in seen[0]):
            return True
    return False


def _same_first(one: Written, other: Written) -> bool:
    """Say whether the first parts are the same, which prove it however late counters come."""
    first = [(written.mark or "").partition("|")[0] for written in (one, other)]
    return bool(first[0]) and first[0] == first[1]


def _same_counters(one: Written, other: Written) -> bool:
    counted = [(written.mark or "").partition("|")[2] for written in (one, other)]
    return bool(counted[0]) and counted[0] == counted[1]


def _has_counted(session: int, seen: list[dict[int, bool]]) -> bool:
    """Say whether a session has counted all that it had committed before the first look."""
    at_work = [look.get(session, False) for look in seen]
    # Its last count was before the first look, so from the second on it counts whenever it rests.
    rested = any(before and not after for before, after in pairwise(at_work[1:]))
    return rested or not at_work[-1]
