"""Asking an index for objects by their own vectors: which of those that it holds are never found?

A vector index is a structure beside the objects. It can lose some in a crash, and says nothing
then: counts, scans and look-ups by key go on as before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import polars as pl

from semilayer_pipelines.stores.patience import threads
from semilayer_pipelines.stores.protocol import VECTOR

__all__ = ["unfound"]

_LIMITS = (10, 200)  # rows of one text have one vector, and only so many of them are shown
_AT_ONCE = 4


def unfound(
    held: pl.DataFrame, name: str, ask: Callable[[Sequence[float], int], Collection[str]]
) -> list[str]:
    """Return the names of objects that no search for their own vector finds.

    `held` has a column `name`, of String, and VECTOR. `ask` returns the names of the nearest
    objects, at most as many as its second argument says; it is called from several threads.
    """
    if not held.height:
        return []
    vectors = held[VECTOR].to_numpy()

    def is_lost(at: int, own: str) -> bool:
        vector = vectors[at].tolist()
        return not any(own in ask(vector, limit) for limit in _LIMITS)

    names = held[name].to_list()
    with threads(_AT_ONCE) as asking:
        lost = asking.map(is_lost, range(len(names)), names)
        return [own for own, gone in zip(names, lost, strict=True) if gone]
