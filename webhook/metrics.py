"""What this process has done, as Prometheus reads it.

All numbers are written by the event loop's thread, so none needs a lock; those of the writer are
read from it. Nothing here holds a key, an id or the name of a lens.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from webhook.writer import Writer

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "semilayer_webhook_"
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass
class Metrics:
    """Counters since the start."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    changes: int = 0
    seconds: dict[str, list[int]] = field(default_factory=dict)
    seconds_sum: dict[str, float] = field(default_factory=dict)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answered request; `path` is the route's, such as `/v1/jobs/{id}`."""
        self.requests[method, path, status] += 1
        within = self.seconds.setdefault(path, [0] * (len(_BOUNDS) + 1))
        within[bisect_left(_BOUNDS, seconds)] += 1
        self.seconds_sum[path] = self.seconds_sum.get(path, 0.0) + seconds

    def text(self, writer: Writer) -> str:
        """Return everything in Prometheus' text format."""
        return "\n".join(self._lines(writer)) + "\n"

    def _lines(self, writer: Writer) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Answered requests.")
        for (method, path, status), number in sorted(self.requests.items()):
            labels = f'method="{method}",path="{path}",status="{status}"'
            yield f"{_PREFIX}requests_total{{{labels}}} {number}"
        name = "request_seconds"
        yield from _head(name, "histogram", "From a request's head to its answer.")
        for path, within in sorted(self.seconds.items()):
            below = 0
            for bound, number in zip((*_BOUNDS, "+Inf"), within, strict=True):
                below += number
                yield f'{_PREFIX}{name}_bucket{{path="{path}",le="{bound}"}} {below}'
            yield f'{_PREFIX}{name}_sum{{path="{path}"}} {self.seconds_sum[path]}'
            yield f'{_PREFIX}{name}_count{{path="{path}"}} {below}'
        for name, kind, meaning, value in (
            ("changes_total", "counter", "Changes accepted.", self.changes),
            ("commits_total", "counter", "Transactions of accepted calls.", writer.groups),
            ("committed_calls_total", "counter", "Calls in them.", writer.calls),
            ("waiting_calls", "gauge", "Calls that wait for a commit.", writer.waiting),
        ):
            yield from _head(name, kind, meaning)
            yield f"{_PREFIX}{name} {value}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {_PREFIX}{name} {meaning}", f"# TYPE {_PREFIX}{name} {kind}"
