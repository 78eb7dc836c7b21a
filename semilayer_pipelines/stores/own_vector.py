"""Asking an index for objects by their own vectors: which of those that it holds are never found?

A vector index is a structure beside the objects. It can lose some in a crash, and says nothing
then: counts, scans and look-ups by key go on as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from semilayer_pipelines.stores.patience import threads
from semilayer_pipelines.stores.protocol import VECTOR

__all__ = ["unfound"]

_LIMITS = (10, 200)
_SAME = 1e-6  # difference of two distances that are equal but for rounding
_APART = 1e-5  # distance of two vectors that are not the same, however it is rounded
_AT_ONCE = 4


def unfound(
    held: pl.DataFrame,
    name: str,
    ask: Callable[[Sequence[float], int], Mapping[str, float]],
    *,
    compressed: bool,
    itself: float = 0.0,
) -> list[str]:
    """Return the names of objects that no search for their own vector finds.

    `held` has a column `name`, of String, and VECTOR. `ask` returns the names of the nearest
    objects with their distances, at most as many as its second argument says; it is called from
    several threads. An object whose vector more than 200 others have as well is taken for found.

    What only a deeper search finds than users make has lost most of its links in a crash, and
    counts as lost. In a `compressed` index it may just be ranked less exactly, and counts as found.
    Others tell the distance of a vector to `itself`, so a crowd of equal vectors beside an object
    is known to be no reason for not finding it.
    """
    if not held.height:
        return []
    vectors = held[VECTOR].to_numpy()

    def is_lost(at: int, own: str) -> bool:
        vector = vectors[at].tolist()
        for limit in _LIMITS:
            near = ask(vector, limit)
            if own in near:
                return False
            # Rows of the very same vector may stand before it, however deep one looks.
            told = len(near) < limit or max(near.values()) - min(near.values()) > _SAME
            told = told or (not compressed and min(near.values()) > itself + _APART)
            if told and not (compressed and limit < _LIMITS[-1]):
                return True
        return False

    names = held[name].to_list()
    with threads(_AT_ONCE) as asking:
        lost = asking.map(is_lost, range(len(names)), names)
        return [own for own, gone in zip(names, lost, strict=True) if gone]
