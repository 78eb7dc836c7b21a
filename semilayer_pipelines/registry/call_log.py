"""The log of accepted calls, by which a lens's calls are limited: a sliding window, exact.

It knows no tier and writes nothing for environments without a limit. Refused calls are not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, or_, select

from semilayer_pipelines.registry import tables

__all__ = ["WINDOW", "Admitted", "admit"]

WINDOW = timedelta(seconds=60)

_calls = tables.calls.c


@dataclass(frozen=True)
class Admitted:
    """What became of some calls that came together.

    The first `calls` of them are admitted. `remaining` more would be; when none would, the next one
    is after `retry_after` seconds, rounded up.
    """

    calls: int
    remaining: int
    retry_after: int


def admit(db: Connection, lens_id: int, *, calls: int, limit: int, now: datetime) -> Admitted:
    """Admit as many of `calls` as the last 60 seconds leave of `limit`, and note them.

    The caller holds the lens's place in the queue of appends (`changes.append`), without which two
    processes could both take the last place.
    """
    # What is noted for the time after the next window was noted by a clock that was set back since.
    outside = or_(_calls.at <= now - WINDOW, _calls.at > now + WINDOW)
    db.execute(delete(tables.calls).where(_calls.lens_id == lens_id, outside))
    # At most `limit` rows, unless the limit was lowered a moment ago.
    times = list(db.scalars(select(_calls.at).where(_calls.lens_id == lens_id).order_by(_calls.at)))
    admitted = max(0, min(calls, limit - len(times)))
    if admitted:
        db.execute(insert(tables.calls), [{"lens_id": lens_id, "at": now}] * admitted)
    times += [now] * admitted
    remaining = max(0, limit - len(times))
    if remaining:
        return Admitted(admitted, remaining, 0)
    # There is room again when all but `limit - 1` of the window's calls have left it.
    frees = times[len(times) - limit] + WINDOW if limit else now + WINDOW
    return Admitted(admitted, 0, max(1, math.ceil((frees - now).total_seconds())))
