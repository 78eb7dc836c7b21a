"""How many of a query's nearest texts two kinds of vectors agree on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEAREST", "QUERIES", "shared"]

QUERIES = 200
NEAREST = 10

Vectors = NDArray[np.float32]


def shared(ours: tuple[Vectors, Vectors], theirs: tuple[Vectors, Vectors]) -> float:
    """Return the share of the nearest texts that both name; each gives queries and texts."""
    pairs = zip(_nearest(*ours).tolist(), _nearest(*theirs).tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) for a, b in pairs])) / NEAREST


def _nearest(queries: Vectors, texts: Vectors) -> NDArray[np.intp]:
    return np.argsort(-(queries @ texts.T), axis=1)[:, :NEAREST]
