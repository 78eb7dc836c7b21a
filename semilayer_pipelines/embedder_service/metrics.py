"""What the service has done.

Each number has one thread that writes it (callers' or worker's), so none needs a lock. Nothing here
may hold a text or a key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from semilayer_pipelines.embedder_service.batch import BatchCounts
from semilayer_pipelines.embedder_service.model import ServedModel
from semilayer_pipelines.embedder_service.queue import TextQueue
from semilayer_pipelines.http.metrics import Seconds

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["Metrics"]

_PREFIX = "semilayer_embedder_"
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters since the start."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._request_seconds = Seconds(_BOUNDS)
        self._batches = 0
        self._model_calls = 0
        self._model_seconds = 0.0
        self._texts = 0
        self._tokens = 0
        self._truncated = 0
        self._rejected = 0

    def request(self, status: int, seconds: float) -> None:
        """Count a request for vectors that was answered with an HTTP status."""
        self._requests[status] += 1
        self._request_seconds.add(seconds)

    def batch(self, counts: BatchCounts, seconds: float) -> None:
        """Count a batch; called by the worker only."""
        self._batches += 1
        self._model_calls += counts.calls
        self._model_seconds += seconds
        self._texts += counts.embedded
        self._tokens += counts.tokens
        self._truncated += counts.truncated
        self._rejected += counts.rejected

    def collected(self, model: ServedModel | None, queue: TextQueue) -> Iterator[Metric]:
        """Yield everything, as the library of Prometheus takes it."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        if model is not None:
            labels = {
                "model": model.name,
                "fingerprint": model.fingerprint,
                **model.backend.as_json(),
            }
            info = GaugeMetricFamily(f"{_PREFIX}info", "The model.", labels=tuple(labels))
            info.add_metric(tuple(labels.values()), 1)
            yield info
        for name, meaning, value in (
            ("ready", "1 when the model is loaded.", float(model is not None)),
            ("held_texts", "Texts not answered yet.", queue.texts),
            ("held_characters", "Their length.", queue.characters),
        ):
            yield GaugeMetricFamily(f"{_PREFIX}{name}", meaning, value)
        requests = CounterMetricFamily(
            f"{_PREFIX}requests_total", "Requests for vectors, by HTTP status.", labels=("status",)
        )
        for status, number in sorted(self._requests.items()):
            requests.add_metric((str(status),), number)
        yield requests
        yield HistogramMetricFamily(
            f"{_PREFIX}request_seconds",
            "From a request's head to its answer.",
            self._request_seconds.buckets(),
            self._request_seconds.sum,
        )
        for name, meaning, value in (
            ("batches_total", "Batches.", self._batches),
            ("model_calls_total", "Calls of the model; more than batches by halving.",
             self._model_calls),
            ("model_seconds_total", "Seconds that the batches took.", self._model_seconds),
            ("texts_total", "Texts embedded.", self._texts),
            ("tokens_total", "Tokens that the model read.", self._tokens),
            ("truncated_texts_total", "Texts that the model cut short.", self._truncated),
            ("rejected_texts_total", "Texts that the model could not embed.", self._rejected),
        ):  # fmt: skip
            yield CounterMetricFamily(f"{_PREFIX}{name}", meaning, value)
