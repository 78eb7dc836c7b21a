"""What the service has done, as Prometheus reads it.

Each number has one thread that writes it (callers' or worker's), so none needs a lock. Nothing here
may hold a text or a key.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from semilayer_pipelines.embedder_service.batch import BatchCounts
from semilayer_pipelines.embedder_service.served import ServedModel
from semilayer_pipelines.embedder_service.waiting import Waiting

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "semilayer_embedder_"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters since the start."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._within = [0] * (len(_SECONDS) + 1)
        self._request_seconds = 0.0
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
        self._request_seconds += seconds
        self._within[bisect_left(_SECONDS, seconds)] += 1

    def batch(self, counts: BatchCounts, seconds: float) -> None:
        """Count a batch; called by the worker only."""
        self._batches += 1
        self._model_calls += counts.calls
        self._model_seconds += seconds
        self._texts += counts.embedded
        self._tokens += counts.tokens
        self._truncated += counts.truncated
        self._rejected += counts.rejected

    def text(self, model: ServedModel | None, waiting: Waiting) -> str:
        """Return everything in Prometheus' text format."""
        return "\n".join(self._lines(model, waiting)) + "\n"

    def _lines(self, model: ServedModel | None, waiting: Waiting) -> Iterator[str]:
        yield from _metric("ready", "gauge", "1 when the model is loaded.", int(model is not None))
        if model is not None:
            labels = ",".join(
                f'{name}="{_escaped(value)}"'
                for name, value in (
                    ("model", model.name),
                    ("fingerprint", model.fingerprint),
                    ("backend", model.running.backend),
                    ("device", model.running.device),
                    ("precision", model.running.precision),
                )
            )
            yield from _head("info", "gauge", "The model.")
            yield f"{_PREFIX}info{{{labels}}} 1"
        yield from _metric("held_texts", "gauge", "Texts not answered yet.", waiting.texts)
        yield from _metric("held_characters", "gauge", "Their length.", waiting.characters)
        yield from _head("requests_total", "counter", "Requests for vectors, by HTTP status.")
        for status, number in sorted(self._requests.items()):
            yield f'{_PREFIX}requests_total{{status="{status}"}} {number}'
        yield from self._histogram()
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
            yield from _metric(name, "counter", meaning, value)

    def _histogram(self) -> Iterator[str]:
        name = "request_seconds"
        yield from _head(name, "histogram", "From a request's head to its answer.")
        below = 0
        for bound, number in zip((*_SECONDS, "+Inf"), self._within, strict=True):
            below += number
            yield f'{_PREFIX}{name}_bucket{{le="{bound}"}} {below}'
        yield f"{_PREFIX}{name}_sum {self._request_seconds}"
        yield f"{_PREFIX}{name}_count {below}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {_PREFIX}{name} {meaning}", f"# TYPE {_PREFIX}{name} {kind}"


def _metric(name: str, kind: str, meaning: str, value: float) -> tuple[str, str, str]:
    return (*_head(name, kind, meaning), f"{_PREFIX}{name} {value}")


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
