"""What this process has done.

All numbers are written by the event loop's thread, so none needs a lock; those of the writer are
read from it. Nothing here holds a key, an id or the name of a lens.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from semilayer_pipelines.http.metrics import Seconds
from semilayer_pipelines.queries.daemon import Daemon
from semilayer_pipelines.registry.feeds import FeedRow
from semilayer_pipelines.registry.store_watch import LostToSearch
from webhook.service.writer import Writer

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["FromRegistry", "Metrics"]

_PREFIX = "semilayer_webhook_"
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _seconds() -> defaultdict[str, Seconds]:
    return defaultdict(lambda: Seconds(_BOUNDS))


@dataclass(frozen=True)
class FromRegistry:
    """What the registry tells: rows that no search found, what runs the jobs, and the feeds.

    `now` is the registry's time.
    """

    lost: LostToSearch
    daemon: Daemon
    feeds: Sequence[FeedRow]
    now: datetime


@dataclass
class Metrics:
    """Counters since the start."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    changes: int = 0
    seconds: defaultdict[str, Seconds] = field(default_factory=_seconds)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answered request; `path` is the route's, such as `/v1/jobs/{id}`."""
        self.requests[method, path, status] += 1
        self.seconds[path].add(seconds)

    def collected(self, writer: Writer, told: FromRegistry | None) -> Iterator[Metric]:
        """Yield everything, as the library of Prometheus takes it.

        `told` is `None` while the registry does not answer.
        """
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        requests = CounterMetricFamily(
            f"{_PREFIX}requests_total", "Answered requests.", labels=("method", "path", "status")
        )
        for (method, path, status), number in sorted(self.requests.items()):
            requests.add_metric((method, path, str(status)), number)
        yield requests
        times = HistogramMetricFamily(
            f"{_PREFIX}request_seconds", "From a request's head to its answer.", labels=("path",)
        )
        for path, seconds in sorted(self.seconds.items()):
            times.add_metric((path,), seconds.buckets(), seconds.sum)
        yield times
        for name, meaning, value in (
            ("changes_total", "Changes accepted.", self.changes),
            ("commits_total", "Transactions of accepted calls.", writer.groups),
            ("committed_calls_total", "Calls in them.", writer.calls),
        ):
            yield CounterMetricFamily(f"{_PREFIX}{name}", meaning, value)
        yield GaugeMetricFamily(
            f"{_PREFIX}waiting_calls", "Calls that wait for a commit.", writer.waiting
        )
        if told is not None:
            yield GaugeMetricFamily(
                f"{_PREFIX}hidden_rows",
                "Rows that no search found when `verify --search` asked last.",
                told.lost.known,
            )
            yield GaugeMetricFamily(
                f"{_PREFIX}recovered_rows",
                "Hidden rows that were written again, in the indexes in use.",
                told.lost.recovered,
            )
            age = told.daemon.age
            yield GaugeMetricFamily(
                f"{_PREFIX}daemon_tick_age_seconds",
                "Since the last tick of Dagster's daemon, which runs the jobs; +Inf before any.",
                math.inf if age is None else age.total_seconds(),
            )
            yield from _of_feeds(told.feeds, told.now)


def _of_feeds(feeds: Sequence[FeedRow], now: datetime) -> Iterator[Metric]:
    """Yield how the followed sources stand; of several the one that is furthest behind."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, meaning, value in (
        ("feeds", "Sources whose changes are to be followed.", len(feeds)),
        (
            "feeds_silent",
            "Of these, those that no process follows, or that cannot be read now.",
            sum(not row.is_followed(now) or row.trouble is not None for row in feeds),
        ),
        (
            "feed_lag_bytes",
            "Log of a source that is not read yet.",
            max((row.lag_bytes or 0 for row in feeds), default=0),
        ),
        (
            "feed_lag_seconds",
            "Age of the oldest change of a source that is not read yet.",
            max((_lag_seconds(row, now) for row in feeds), default=0),
        ),
    ):
        yield GaugeMetricFamily(f"{_PREFIX}{name}", meaning, value)
    yield CounterMetricFamily(
        f"{_PREFIX}feed_changes_total", "Changes read.", sum(row.changes for row in feeds)
    )
    yield CounterMetricFamily(
        f"{_PREFIX}feed_restarts_total",
        "How often changes may have been missed, so that a smart sync was queued.",
        sum(row.restarts for row in feeds),
    )


def _lag_seconds(row: FeedRow, now: datetime) -> float:
    """Return how far a feed is behind; while nobody follows it, at least for how long."""
    if row.is_followed(now) or row.lag_at is None:
        return row.lag_seconds or 0.0
    return (row.lag_seconds or 0.0) + (now - row.lag_at).total_seconds()
