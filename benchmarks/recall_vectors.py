"""A million vectors that lie as those of real texts do: some are, the others are made of them.

The texts are the summaries and sentences of Debian's catalogue. As many as a machine can embed in
minutes are embedded, once, and kept. Each of the others is a mixture of two real vectors of one
neighbourhood, with some noise, and of length 1.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.packages import sample
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders import open_embedder

__all__ = [
    "DIMENSION",
    "QUERIES",
    "Material",
    "Vectors",
    "material",
    "nearest_of",
    "rows_like",
]

DIMENSION = 384
QUERIES = 200

_OUT = Path(__file__).parent / "out"
_WHOLE_CATALOGUE = _OUT / "packages.parquet"  # the committed sample where it is not there
_TEXTS = 52_000
_CHUNK = 4_000
_CHARACTERS = (25, 300)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_NEIGHBOURHOODS = 512
_NOISE = 0.25  # length of what is added to a vector of length 1

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """Vectors of real texts: those to search among, and those of other texts to search for."""

    real: Vectors
    queries: Vectors


def material() -> Material:
    """Return real vectors, embedded now unless an earlier run has kept them."""
    vectors = _embedded(_texts())
    return Material(real=vectors[QUERIES:], queries=vectors[:QUERIES])


def rows_like(real: Vectors, rows: int, rng: np.random.Generator) -> Vectors:
    """Return so many vectors, of which none is real and each lies between two that are."""
    anchors = real[rng.choice(len(real), min(_NEIGHBOURHOODS, len(real)), replace=False)]
    home = nearest_of(real, anchors)
    order = np.argsort(home, kind="stable")
    first = np.searchsorted(home[order], np.arange(len(anchors)))
    size = np.bincount(home, minlength=len(anchors))
    one = rng.integers(0, len(real), rows)
    other = order[first[home[one]] + (rng.random(rows) * size[home[one]]).astype(np.int64)]
    share = rng.uniform(0.2, 0.8, rows).astype(np.float32)[:, None]
    mixed = _unit(share * real[one] + (1 - share) * real[other])
    noise = rng.standard_normal(mixed.shape, dtype=np.float32) * (_NOISE / np.sqrt(DIMENSION))
    return _unit(mixed + noise)


def nearest_of(vectors: Vectors, anchors: Vectors) -> NDArray[np.int64]:
    """Return the number of the nearest anchor of each vector."""
    nearest: NDArray[np.int64] = np.argmax(vectors @ anchors.T, axis=1)
    return nearest


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _texts() -> list[str]:
    rows = pl.read_parquet(_WHOLE_CATALOGUE) if _WHOLE_CATALOGUE.exists() else sample()
    found = set(rows["summary"].drop_nulls())
    for description in rows["description"].drop_nulls():
        for part in _SENTENCE.split(description):
            if _CHARACTERS[0] <= len(part.strip()) <= _CHARACTERS[1]:
                found.add(part.strip())
    texts = sorted(found)
    random.Random(1).shuffle(texts)
    return texts[:_TEXTS]


def _embedded(texts: list[str]) -> Vectors:
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    kept = _OUT / "recall" / f"{digest}.npy"
    if not kept.exists():
        embedder = open_embedder(EmbeddingConfig(), environ={})
        parts = [
            embedder.embed(texts[start : start + _CHUNK]).vectors
            for start in range(0, len(texts), _CHUNK)
        ]
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.concatenate(parts))
    vectors: Vectors = np.load(kept)
    return vectors
