"""What a service counts, as Prometheus reads it.

Counting is a few additions. The library that writes the text is loaded when somebody first asks for
it, so that neither a start nor a call waits for it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["Seconds", "exposition"]


@dataclass
class Seconds:
    """How long calls took: the buckets of a histogram, and their sum."""

    bounds: tuple[float, ...]
    sum: float = 0.0
    _within: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._within = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count a call."""
        self._within[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Return each bound and how many calls took no longer."""
        return list(zip((*map(str, self.bounds), "+Inf"), accumulate(self._within), strict=True))


def exposition(collected: Callable[[], Iterable[Metric]]) -> Response:
    """Answer with these metrics in Prometheus' text format."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class All(Collector):
        def collect(self) -> Iterable[Metric]:
            return collected()

    registry = CollectorRegistry()
    registry.register(All())
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
