"""When the schedules of a lens tick next; the jobs that they make are due soon after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from semilayer_pipelines.config.intervals import SYNC_INTERVALS
from semilayer_pipelines.config.models import LensConfig

__all__ = ["next_tick"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def next_tick(config: LensConfig, now: datetime) -> datetime | None:
    """Return when a schedule of a lens ticks next; `None` for a lens without an interval.

    Every interval ticks at its multiples since 1970, in UTC.
    """
    intervals = [one for one in (config.sync_interval, config.smart_sync_interval) if one]
    if not intervals:
        return None
    passed = int((now - _EPOCH).total_seconds())
    lengths = [SYNC_INTERVALS[one] for one in intervals]
    return min(_EPOCH + timedelta(seconds=(passed // one + 1) * one) for one in lengths)
