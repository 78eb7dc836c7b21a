"""The real model in eight-bit integers beside the same graph in float32.

A processor without bfloat16 computes in float32 otherwise; one that has it computes both here as if
it had not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.neighbours import NEAREST, QUERIES, shared
from benchmarks.result import Result, measured
from benchmarks.timing import timed
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.dedupe import embed_once
from semilayer_pipelines.embedders.local.engine import Engine
from semilayer_pipelines.embedders.local.engines import open_engine
from semilayer_pipelines.embedders.local.graph import Graph, graph_folder
from semilayer_pipelines.embedders.local.model_source import find_model, vector_space
from semilayer_pipelines.embedders.local.openvino_engine import in_precision
from semilayer_pipelines.embedders.local.probe import INT8, closeness
from semilayer_pipelines.errors import ModelUnavailable

__all__ = ["beside_float32"]

_CHUNKS = 5
_MIN_SPEEDUP = 1.5
_MIN_OVERLAP = 0.9


def beside_float32(texts: list[str], queries: list[str]) -> list[Result]:
    """Embed chunk by chunk, both ways in turns; raises `ModelUnavailable` without int8."""
    rounded, full = _engines()
    ours, theirs = [], []
    seconds: list[tuple[float, float]] = []
    for engine in (rounded, full):
        engine.embed(texts[:50])
    size = -(-len(texts) // _CHUNKS)
    for start in range(0, len(texts), size):
        chunk = texts[start : start + size]
        fast = timed(lambda chunk=chunk: ours.append(_vectors(rounded, chunk)))  # type: ignore[misc]
        slow = timed(lambda chunk=chunk: theirs.append(_vectors(full, chunk)))  # type: ignore[misc]
        seconds.append((fast, slow))
    vectors, reference = np.concatenate(ours), np.concatenate(theirs)
    close = closeness(vectors, reference)
    overlap = shared((_vectors(rounded, queries), vectors), (_vectors(full, queries), reference))
    return [
        Result(
            f"{rounded.backend} over {full.backend}",
            "",
            measured([slow / fast for fast, slow in seconds]),
            target=_MIN_SPEEDUP,
        ),
        Result("int8: mean cosine with float32", "", measured([close.mean]), target=INT8.mean),
        Result("int8: least cosine with float32", "", measured([close.least]), target=INT8.least),
        Result(
            f"int8: {NEAREST} nearest of {QUERIES} queries, shared",
            "",
            measured([overlap]),
            target=_MIN_OVERLAP,
        ),
    ]


def _engines() -> tuple[Engine, Engine]:
    config = EmbeddingConfig()
    source = find_model(config.model, config.revision)
    rounded = open_engine(source, "int8")
    # Rounding begins with the exported graph, so it is there now.
    graph = Graph.load(graph_folder(vector_space(source)))
    full = in_precision(graph, "float32") if graph else None
    if full is None:
        raise ModelUnavailable("The exported model cannot be read or run in float32.")
    return rounded, full


def _vectors(engine: Engine, texts: list[str]) -> NDArray[np.float32]:
    return embed_once(texts, engine.embed, dimension=None).vectors
