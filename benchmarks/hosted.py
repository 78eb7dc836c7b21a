"""A hosted model: several requests at a time beside one at a time, and limits that are enforced.

The endpoint runs in a process of its own, on a socket, and takes 0.3 s for every request, of 128
texts at most. One request at a time is what 0.2.0 does. With limits, a minute of the
endpoint and of the embedder passes in four seconds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.endpoint import forget_paces
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from tests.embedders.limited import Limited, tokens_of, vector_of
from tests.lab import Lab

__all__ = ["run"]

_TEXTS = 10_000
_DIMENSION = 384
_ROWS = 20_000
_REPETITIONS = 2
_TARGET = 6.0
_ENDPOINT = {"latency": 0.3, "batch_texts": 128, "dimension": _DIMENSION}
_LIMITS = {"tokens": 400_000, "requests": 40, "speed": 15.0}
_STORM = 12


def run() -> list[Result]:
    return [*_speed(), *_limits()]


@dataclass(frozen=True)
class _Served:
    url: str

    def told(self) -> dict[str, Any]:
        """Return what the endpoint saw."""
        with urllib.request.urlopen(f"{self.url.removesuffix('/v1')}/told") as answer:
            told: dict[str, Any] = json.load(answer)
        return told


def _speed() -> list[Result]:
    texts = _texts(_TEXTS)
    with _endpoint(**_ENDPOINT) as served, workplace() as folder:

        def embed(concurrency: int) -> float:
            forget_paces()
            config = _config(served, concurrency=concurrency)
            # As a large provider is asked by itself.
            embedder = OpenAIEmbedder(config, environ={}, encoding="base64")
            return timed(lambda: embedder.embed(texts))

        def ingest(concurrency: int) -> float:
            forget_paces()
            shutil.rmtree(folder / "lab", ignore_errors=True)
            lab = Lab.at(folder / "lab", rows=_ROWS, embedding=_lens(served, concurrency))
            return timed(lab.full)

        seconds = interleaved(
            {
                "alone": lambda: embed(1),
                "several": lambda: embed(8),
                "ingest alone": lambda: ingest(1),
                "ingest several": lambda: ingest(8),
            },
            repetitions=_REPETITIONS,
            warm_up=0,
        )
    return [
        *_compared("hosted model", _TEXTS, seconds["several"], seconds["alone"]),
        *_compared(
            "hosted model: full ingest", _ROWS, seconds["ingest several"], seconds["ingest alone"]
        ),
    ]


def _compared(name: str, rows: int, several: list[float], alone: list[float]) -> list[Result]:
    ratios = [one / many for one, many in zip(alone, several, strict=True)]
    return [
        Result(
            name,
            "rows/s",
            measured([rows / s for s in several]),
            floor=measured([rows / s for s in alone]).median,
        ),
        Result(f"{name}: over one request at a time", "", measured(ratios), target=_TARGET),
    ]


def _limits() -> list[Result]:
    """Embed under the limits of a lens, at an endpoint that tells nothing and refuses some."""
    texts = _texts(_TEXTS)
    clock = Limited(speed=_LIMITS["speed"])
    with _endpoint(**_ENDPOINT, **_LIMITS, told=False, storm_at=1_000, storm_of=_STORM) as served:
        config = _config(
            served,
            requests_per_minute=int(_LIMITS["requests"]),
            tokens_per_minute=int(_LIMITS["tokens"]),
        )
        embedder = OpenAIEmbedder(config, environ={}, clock=clock.clock, sleep=clock.sleep)
        made = embedder.embed(texts)
        told = served.told()
    right = np.isclose(
        made.vectors[:, :2], [vector_of(text, _DIMENSION)[:2] for text in texts]
    ).all(axis=1)
    used = max(told["worst"][0] / _LIMITS["requests"], told["worst"][1] / _LIMITS["tokens"])
    return [
        Result(
            "hosted model, limited: texts with their own vector",
            "texts",
            measured([int(right.sum())]),
            Wanted.EXACTLY,
            _TEXTS,
        ),
        Result(
            "hosted model, limited: texts paid for twice",
            "texts",
            measured([told["twice"]]),
            Wanted.EXACTLY,
            0,
        ),
        Result(
            "hosted model, limited: refusals but the storm's",
            "requests",
            measured([told["statuses"].get("429", 0) - told["stormed"]]),
            Wanted.EXACTLY,
            0,
        ),
        Result(
            "hosted model, limited: the worst minute, of its limit",
            "",
            measured([used]),
            Wanted.AT_MOST,
            1.0,
        ),
    ]


def _texts(number: int) -> list[str]:
    texts = [
        f"{n:06} a text of some length, as a row has it; ".ljust(400, "x") for n in range(number)
    ]
    assert tokens_of(texts[0]) == 100
    return texts


def _config(served: _Served, **settings: Any) -> EmbeddingConfig:
    return EmbeddingConfig(
        provider="openai",
        model="m",
        url=served.url,
        dimensions=_DIMENSION,
        **settings,
    )


def _lens(served: _Served, concurrency: int) -> dict[str, object]:
    return {
        "provider": "openai",
        "model": "m",
        "url": served.url,
        "dimensions": _DIMENSION,
        "concurrency": concurrency,
    }


@contextmanager
def _endpoint(**limits: Any) -> Iterator[_Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.embedders.limited", json.dumps(limits)],
        cwd=Path(__file__).resolve().parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield _Served(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait()
