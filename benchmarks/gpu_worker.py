"""A process of `benchmarks.gpu`: it has one model of one build, and does what a line tells it.

Run as a file, so that `PYTHONPATH` alone decides which build of ours it measures. Each answer is a
line of JSON; what failed is `{"failed": why}`, and the next line is taken all the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

__all__ = ["FEW", "FEW_FOR_COSINES"]

FEW = 6_000
"""Texts for `encode`, which takes a minute for more."""

FEW_FOR_COSINES = 500
_PACKAGES = Path(__file__).parent / "data" / "packages.parquet"
_COLUMNS = ("name", "summary", "description")


def main() -> int:
    """Answer line by line until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("ours", "encode", "ingest"))
    parser.add_argument("--catalogue", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--model")
    asked = parser.parse_args()
    answers = sys.stdout
    sys.stdout = sys.stderr  # a library that prints does not answer
    run: Callable[..., Any] | None = None
    for line in sys.stdin:
        what, *numbers = line.split()
        try:
            run = run or _opened(asked)
            started = time.monotonic()
            done = run(what, *map(int, numbers))
            answer = time.monotonic() - started if done is None else done
        # Out of memory, a build without this function: the other figures are still wanted.
        except Exception as error:  # noqa: BLE001
            answer = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)
    return 0


def _opened(asked: argparse.Namespace) -> Callable[..., Any]:
    match asked.kind:
        case "ours":
            return _ours(asked.model, _texts(asked.catalogue, asked.rows))
        case "encode":
            return _encode(_texts(asked.catalogue, asked.rows))
        case _:
            return _ingest(asked.catalogue, asked.rows)


def _texts(catalogue: Path | None, rows: int) -> list[str]:
    found = pl.read_parquet(catalogue or _PACKAGES)
    texts = found.select(pl.concat_str(_COLUMNS, separator="\n", ignore_nulls=True)).to_series()
    distinct = texts.unique(maintain_order=True).to_list()[:rows]
    repeated = (f"{text} {n}" for n in range(1, 1 + rows // len(distinct)) for text in distinct)
    return [*distinct, *repeated][:rows]


def _ours(model: str | None, texts: list[str]) -> Callable[..., Any]:
    from semilayer_pipelines.config.embedding import EmbeddingConfig
    from semilayer_pipelines.embedders import open_embedder
    from semilayer_pipelines.embedders.local.engines import open_engine
    from semilayer_pipelines.embedders.local.model_source import find_model

    config = EmbeddingConfig(model=model) if model else EmbeddingConfig()
    embedder = open_embedder(config, environ={})
    engine: Any = open_engine(find_model(config.model, None))
    engine = getattr(engine, "_half", engine)
    ready: list[Any] = []

    def run(what: str, size: int = 0, rows: int | None = None) -> Any:
        some = texts[:rows]
        match what:
            case "backend":
                return str(engine.backend)
            case "pages":
                return _in_pages(embedder, some, size)
            case "alone":
                ready.extend([] if ready else _batches(engine, some))
                # As the embedder does, not on the main thread.
                with ThreadPoolExecutor(1) as aside:
                    return aside.submit(_alone, engine, ready, len(some)).result()
            case "vectors":
                return embedder.embed(texts[:FEW_FOR_COSINES]).vectors.tolist()
        embedder.embed(texts[:2_000])
        return None

    return run


def _in_pages(embedder: Any, texts: Sequence[str], size: int) -> float:
    """Embed as a walk does: two pages at the same time, and one where a build reads none ahead.

    The walk's own threads are not used. They import the registry, which the named wheels lack.
    """
    pages = [texts[start : start + size] for start in range(0, len(texts), size)]
    reads_ahead = find_spec("semilayer_pipelines.embedders.local.ahead") is not None
    started = time.monotonic()
    with ThreadPoolExecutor(2 if reads_ahead else 1) as aside:
        list(aside.map(embedder.embed, pages))
    return time.monotonic() - started


def _batches(engine: Any, texts: list[str]) -> list[Any]:
    from semilayer_pipelines.embedders.local.batches import batched

    ordered = sorted(texts, key=len, reverse=True)
    note: Callable[..., None] = lambda *_: None
    # Private, as `_half` is: nobody else runs batches that are there already.
    return [*batched(ordered, engine._tokeniser, budget=engine._forward.budget, note=note)]


def _alone(engine: Any, ready: list[Any], texts: int) -> float:
    vectors = np.empty((texts, engine._forward.dimension), np.float32)
    started = time.monotonic()
    engine._forward.run(iter(ready), vectors)
    return time.monotonic() - started


def _encode(texts: list[str]) -> Callable[..., Any]:
    from sentence_transformers import SentenceTransformer

    from semilayer_pipelines.config.embedding import EmbeddingConfig
    from semilayer_pipelines.embedders.local.model_source import find_model

    model = SentenceTransformer(find_model(EmbeddingConfig().model, None).location)

    def run(what: str, batch: int = 32) -> Any:
        some = texts[:FEW] if what == "encode" else texts[:FEW_FOR_COSINES]
        vectors = model.encode(some, batch_size=batch, show_progress_bar=False)
        return vectors.tolist() if what == "vectors" else None

    return run


def _ingest(catalogue: Path | None, rows: int) -> Callable[..., Any]:
    from benchmarks.packages import COLUMNS, lab_of

    found = pl.read_parquet(catalogue) if catalogue else _repeated(rows)
    found = found.select(COLUMNS).unique("name", maintain_order=True).head(rows)

    def run(_what: str) -> Any:
        with tempfile.TemporaryDirectory(prefix="semilayer-bench-") as folder:
            lab_of(Path(folder, "warm"), found.head(2_000)).full()  # the model is loaded once
            lab = lab_of(Path(folder, "whole"), found)
            started = time.monotonic()
            counts = lab.full().counts
            seconds = time.monotonic() - started
        return {"rows": found.height, "vectors": counts.embedded, "seconds": seconds}

    return run


def _repeated(rows: int) -> pl.DataFrame:
    found = pl.read_parquet(_PACKAGES)
    copies = pl.concat([found] * -(-rows // found.height)).head(rows).with_row_index("at")
    return copies.with_columns(
        pl.format("{}-{}", "name", "at").alias("name"),
        pl.format("{} {}", "summary", "at").alias("summary"),
    )


if __name__ == "__main__":
    sys.exit(main())
