"""A search without the vector index: every object that matches is fetched and compared here.

The index of a server may know fewer objects than the collection holds: after a crash it has lost
the last ones, and under a condition it may not reach all. A search that comes back short is made
up for by this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.stores.protocol import KEY
from semilayer_pipelines.stores.weaviate.found import newest_of_each
from semilayer_pipelines.stores.weaviate.ids import both_ids
from semilayer_pipelines.stores.weaviate.schema import VECTOR_NAME
from semilayer_pipelines.stores.weaviate.settings import Distance

if TYPE_CHECKING:
    from semilayer_pipelines.stores.weaviate.reads import Reads

__all__ = ["MOST_COMPARED", "compared"]

MOST_COMPARED = 10_000
"""Objects that a server lets one page through."""


def compared(
    reads: Reads, vector: Sequence[float], limit: int, condition: Any, distance: Distance
) -> Sequence[Any]:
    """Return the nearest of about `MOST_COMPARED` objects, each with its distance noted.

    Rows may be rewritten meanwhile. Pages that count their way would skip as many rows as were
    deleted before them. So the ids are listed first, twice, as a list that takes its time may miss
    a row that is replaced. A row whose object is gone by the time it is read has another.
    """
    query = np.array(vector, dtype=np.float32)
    listed = reads.listed(condition) | reads.listed(condition)
    unread = {key for key in listed.values() if key is not None}
    best: list[Any] = []

    def compare(ids: Sequence[str]) -> None:
        nonlocal best
        for found in reads.of_ids(ids, condition):
            unread.difference_update(each.properties.get(KEY) for each in found)
            page = [each for each in found if VECTOR_NAME in each.vector]
            if not page:
                continue
            vectors = np.array([each.vector[VECTOR_NAME] for each in page], dtype=np.float32)
            for each, far in zip(page, _distances(vectors, query, distance).tolist(), strict=True):
                each.metadata.distance = far
            once = newest_of_each([*best, *page])
            best = sorted(once, key=lambda each: float(each.metadata.distance))[:limit]

    compare(list(listed))
    compare(both_ids(sorted(unread)))
    return best


def _distances(
    vectors: NDArray[np.float32], query: NDArray[np.float32], distance: Distance
) -> NDArray[np.float32]:
    dots = vectors @ query
    match distance:
        case Distance.COSINE:
            lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
            return (1 - dots / np.where(lengths, lengths, 1)).astype(np.float32)
        case Distance.DOT:
            return (-dots).astype(np.float32)
        case Distance.L2_SQUARED:
            apart = vectors - query
            squares: NDArray[np.float32] = np.einsum("ij,ij->i", apart, apart)
            return squares
