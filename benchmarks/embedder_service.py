"""What the embedder service costs beside the bare model: throughput, and one text's latency.

The service runs in a process of its own, as it does in life, and shares the processor with its 32
callers. The bare model gets the same texts in one list, which is the best it can be given.
"""

from __future__ import annotations

import functools
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import Embedder, open_embedder
from semilayer_pipelines.embedders.local.load_model import load_model
from semilayer_pipelines.embedders.local.model_source import find_model

__all__ = ["run"]

_CALLERS = 32
_TEXTS_A_REQUEST = 2
_REPETITIONS = 3
_SINGLE_TEXTS = 15
_MIN_SHARE = 0.9
_MAX_ADDED_MS = 10.0
_SAMPLE = Path(__file__).resolve().parents[1] / "examples" / "debian" / "packages.parquet"


def run() -> list[Result]:
    config = EmbeddingConfig()
    texts = _texts(_CALLERS * _TEXTS_A_REQUEST)
    model = load_model(find_model(config.model, config.revision))
    local = open_embedder(config, environ={})
    with _service() as url, ThreadPoolExecutor(_CALLERS) as callers:
        remote = open_embedder(config, environ={}, service=url)
        requests = [texts[caller::_CALLERS] for caller in range(_CALLERS)]
        seconds = interleaved(
            {
                "bare": lambda: timed(lambda: model.encode(texts, show_progress_bar=False)),
                "service": lambda: timed(lambda: list(callers.map(remote.embed, requests))),
            },
            repetitions=_REPETITIONS,
        )
        added = _added_milliseconds(local, remote)
    pairs = list(zip(seconds["bare"], seconds["service"], strict=True))
    return [
        Result(
            f"embedder service: {_CALLERS} callers",
            "texts/s",
            measured([len(texts) / served for _, served in pairs]),
            floor=measured([len(texts) / bare for bare, _ in pairs]).median,
        ),
        Result(
            "embedder service: of the bare model",
            "",
            measured([bare / served for bare, served in pairs]),
            target=_MIN_SHARE,
        ),
        Result(
            "embedder service: added to one text",
            "ms",
            measured(added),
            Wanted.AT_MOST,
            _MAX_ADDED_MS,
        ),
    ]


def _added_milliseconds(local: Embedder, remote: Embedder) -> list[float]:
    """Return what the service adds to the median milliseconds of one short text, block by block.

    In blocks, because a model's threads go on spinning for a while after a call, and would take the
    processor from the other process.
    """
    added: list[float] = []
    for block in range(_REPETITIONS):
        queries = [f"a tool that does {block} or {number}" for number in range(_SINGLE_TEXTS)]
        added.append(1000 * (_median_seconds(remote, queries) - _median_seconds(local, queries)))
    return added


def _median_seconds(embedder: Embedder, queries: list[str]) -> float:
    return statistics.median(timed(functools.partial(embedder.embed, [text])) for text in queries)


@contextmanager
def _service() -> Iterator[str]:
    process = subprocess.Popen(
        [Path(sys.executable).with_name("semilayer"), "embedder", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"SEMILAYER_EMBEDDER_URL=(\S+)", line):
                yield found[1]
                return
        raise RuntimeError("the embedder service ended before it was ready")
    finally:
        process.terminate()
        process.wait()


def _texts(number: int) -> list[str]:
    rows = pl.read_parquet(_SAMPLE, columns=["summary", "description"]).sample(number, seed=1)
    return rows.select(pl.concat_str(pl.all(), separator="\n")).to_series().to_list()
