"""Waiting for a server that takes vectors into its index after it acknowledged them."""

from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.protocol import KEY, VECTOR
from semilayer_pipelines.stores.weaviate.ids import object_id
from semilayer_pipelines.stores.weaviate.placing import SLOT
from semilayer_pipelines.stores.weaviate.reads import Reads

__all__ = ["PATIENCE_S", "until_empty", "until_found"]

PATIENCE_S = 60.0
"""How long a server may take in no vector at all."""

_POLL_S = 0.2
_LIMIT = 50  # rows of one text have one vector


def until_empty(index: str, waiting: Callable[[], int], *, patience_s: float = PATIENCE_S) -> None:
    """Wait until no vector waits to be indexed; `waiting` counts them.

    Raises `StoreUnavailable` when for `patience_s` none was taken in.
    """
    left, moved = waiting(), time.monotonic()
    while left:
        time.sleep(_POLL_S)
        now = waiting()
        if now < left:
            moved = time.monotonic()
        elif time.monotonic() - moved > patience_s:
            raise StoreUnavailable(
                f"index {index}: {now:,} vectors wait to be indexed, and none was for "
                f"{patience_s:g} s.",
                cure="Check that the server is well; then try again.",
            )
        left = now


def until_found(reads: Reads, written: pl.DataFrame, waiting: Callable[[], int]) -> None:
    """Wait until searches find objects that were just written, as told by the first and the last.

    A server that indexes at once needs no look at its queue, which is one of all its shards.
    Raises `StoreUnavailable` when the queue does not get shorter.
    """
    sample = pl.concat([written.head(1), written.tail(1)])
    named = zip(sample[KEY], sample[SLOT], sample[VECTOR].to_numpy().tolist(), strict=True)
    if all(object_id(key, slot) in reads.near_ids(vector, _LIMIT) for key, slot, vector in named):
        return
    until_empty(reads.index, waiting)
