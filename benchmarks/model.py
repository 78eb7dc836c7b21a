"""The real model on this machine: how fast its texts become vectors, and whether these are right.

Texts are rows of Debian's catalogue, as the example's lens maps them. Compared are the embedder and
`SentenceTransformer.encode` with its defaults, on the same texts and in turns. Then come int8 and
float32, then the whole job (reading, mapping, comparing, writing, publishing) and the embedder
alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.catalogue import workplace
from benchmarks.int8 import beside_float32
from benchmarks.neighbours import NEAREST, QUERIES, shared
from benchmarks.packages import lab_of, sample, texts_of
from benchmarks.result import Result, Wanted, measured
from benchmarks.static_model import beside_default
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import Embedder, open_embedder
from semilayer_pipelines.embedders.local.model_source import find_model
from semilayer_pipelines.embedders.local.probe import closeness

__all__ = ["run"]

_CHUNKS = 5
_REPETITIONS = 3
_MIN_SPEEDUP = {"bfloat16": 3.5, "float32": 3.2}
_MIN_MEAN_COSINE = 0.999
_MIN_OVERLAP = 0.98
_MIN_SHARE = 0.95


def run() -> list[Result]:
    embedder = open_embedder(EmbeddingConfig(), environ={})
    rows = sample()
    with workplace() as folder:
        lab = lab_of(folder / "texts", rows)
        texts = texts_of(lab, rows.height)
        queries = rows["summary"].sample(QUERIES, seed=1).to_list()
        beside_stock = _beside_stock(embedder, texts, queries)
        # int8 is to be had where OpenVINO runs the model, and nowhere else.
        by = embedder.embed(texts[:1]).by
        rounded = beside_float32(texts, queries) if by and by.library == "openvino" else []
        static = beside_default(embedder, texts, folder / "static")
        ingest = _ingest(embedder, texts_of(lab, rows.height, cut=True), rows.height, folder)
    return beside_stock + rounded + static + ingest


def _beside_stock(embedder: Embedder, texts: list[str], queries: list[str]) -> list[Result]:
    """Embed chunk by chunk, both ways in turns, so that a busy moment falls on both alike."""
    from sentence_transformers import SentenceTransformer

    config = EmbeddingConfig()
    stock = SentenceTransformer(find_model(config.model, config.revision).location)
    by = embedder.embed(texts[:50]).by
    stock.encode(texts[:50])
    ours, theirs = [], []
    seconds: list[tuple[float, float]] = []
    size = -(-len(texts) // _CHUNKS)
    for start in range(0, len(texts), size):
        chunk = texts[start : start + size]
        fast = timed(lambda chunk=chunk: ours.append(embedder.embed(chunk).vectors))  # type: ignore[misc]
        slow = timed(lambda chunk=chunk: theirs.append(stock.encode(chunk)))  # type: ignore[misc]
        seconds.append((fast, slow))
    vectors, reference = np.concatenate(ours), np.concatenate(theirs)
    close = closeness(vectors, reference)
    overlap = shared((embedder.embed(queries).vectors, vectors), (stock.encode(queries), reference))
    encode = measured([size / slow for _, slow in seconds])
    return [
        Result(
            f"embedder ({by})",
            "rows/s",
            measured([size / fast for fast, _ in seconds]),
            floor=encode.median,
        ),
        Result(
            "embedder over `encode` with its defaults",
            "",
            measured([slow / fast for fast, slow in seconds]),
            target=_MIN_SPEEDUP.get(by.precision) if by else None,
        ),
        Result("mean cosine with `encode`", "", measured([close.mean]), target=_MIN_MEAN_COSINE),
        Result(
            f"{NEAREST} nearest of {QUERIES} queries, shared",
            "",
            measured([overlap]),
            target=_MIN_OVERLAP,
        ),
    ]


def _ingest(embedder: Embedder, texts: list[str], rows: int, folder: Path) -> list[Result]:
    """Run the whole job and embed its texts alone in turns; both have long texts in chunks."""
    embedded: list[float] = []

    def ingest() -> float:
        lab = lab_of(folder / "engine", sample())
        return timed(lambda: embedded.append(lab.full().counts.embedded))

    seconds = interleaved(
        {"ingest": ingest, "alone": lambda: timed(lambda: embedder.embed(texts))},
        repetitions=_REPETITIONS,
    )
    pairs = zip(seconds["ingest"], seconds["alone"], strict=True)
    return [
        Result(
            "real model: ingest",
            "rows/s",
            measured([rows / s for s in seconds["ingest"]]),
            floor=measured([rows / s for s in seconds["alone"]]).median,
        ),
        Result(
            "real model: ingest over the embedder alone",
            "",
            measured([alone / whole for whole, alone in pairs]),
            target=_MIN_SHARE,
        ),
        Result(
            f"real model: texts and chunks embedded of {rows:,} rows",
            "",
            measured(embedded),
            Wanted.EXACTLY,
            len(texts),
        ),
    ]
