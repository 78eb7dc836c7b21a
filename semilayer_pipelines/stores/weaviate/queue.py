"""Waiting for a server that takes vectors into its index after it acknowledged them.

The nodes tell how many vectors wait, to whoever may read them. The shards tell that some do, to
whoever may read tenants; their own figure is always 0. Everybody else looks for the objects that
were written last: once a search finds them by their own vectors, all are in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import polars as pl
from weaviate.classes.query import Sort
from weaviate.exceptions import UnexpectedStatusCodeError

from semilayer_pipelines.errors import StoreRefused, StoreUnavailable
from semilayer_pipelines.stores.own_vector import unfound
from semilayer_pipelines.stores.protocol import KEY, VECTOR
from semilayer_pipelines.stores.weaviate.connection import ask_index
from semilayer_pipelines.stores.weaviate.errors import gone
from semilayer_pipelines.stores.weaviate.ids import object_id
from semilayer_pipelines.stores.weaviate.placing import SLOT
from semilayer_pipelines.stores.weaviate.reads import ID, Reads
from semilayer_pipelines.stores.weaviate.schema import VECTOR_NAME

__all__ = ["PATIENCE_S", "in_queues", "until_empty", "until_found", "until_indexed"]

PATIENCE_S = 60.0
"""How long a server may take in no vector at all."""

_BLIND = 10  # times as patient where nobody tells how many wait
_POLL_S = 0.2
_LATE_S = 5.0  # after the queue is empty its last vectors are in
_LATEST = 50  # vectors are taken in about in their order


def in_queues(client: Any, index: str, collection: str) -> int:
    """Return how many vectors wait in the queues of all shards, those of tenants included.

    Raises `StoreRefused` where the role may not read the nodes.
    """

    def ask() -> int:
        nodes = client.cluster.nodes(collection=collection, output="verbose")
        shards = [shard for node in nodes for shard in node.shards or []]
        return sum(int(shard.vector_queue_length) for shard in shards)

    return ask_index(index, ask)


def until_indexed(
    index: str, collection: Any, waiting: Callable[[], int], whole: Reads | None, patience_s: float
) -> None:
    """Wait until the vectors of all objects are in the index, however the server lets us know.

    `whole` reads all objects, where they are not kept apart by tenants. Raises `StoreUnavailable`
    when for `patience_s` none was taken in, or ten times as long where nobody tells how many wait.
    """
    try:
        return until_empty(index, waiting, patience_s=patience_s)
    except StoreRefused:
        patience_s *= _BLIND
    try:
        return until_empty(index, partial(_indexing, index, collection), patience_s=patience_s)
    except StoreRefused:
        if whole is None:
            raise
    return _until_latest_found(whole, patience_s)


def _indexing(index: str, collection: Any) -> int:
    """Return how many shards have vectors to take in."""

    def ask() -> int:
        try:
            return sum(each.status == "INDEXING" for each in collection.config.get_shards())
        except UnexpectedStatusCodeError as error:
            # A server that is starting knows no shard yet, one that has started no dropped class.
            if error.status_code == 404 and not collection.exists():
                raise gone(index) from None
            raise

    return ask_index(index, ask)


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
    """Wait until searches find objects that were just written.

    The queue tells that it is empty a moment before its last vectors are in. So some of the objects
    are asked for as well, unless the queue was empty at once. A server may have lost some of them
    in a crash, so that has an end. Raises `StoreUnavailable` when the queue gets no shorter.
    """
    patience_s = _LATE_S
    try:
        if not waiting():
            return
        until_empty(reads.index, waiting)
    except StoreRefused:
        patience_s = PATIENCE_S
    every = max(1, written.height // _LATEST)
    sample = pl.concat([written.gather_every(every), written.tail(1)])
    ids = [object_id(key, slot) for key, slot in zip(sample[KEY], sample[SLOT], strict=True)]
    named = sample.select(pl.Series(ID, ids, dtype=pl.String), VECTOR)
    ends = time.monotonic() + patience_s
    while unfound(named, ID, reads.near_ids, compressed=True) and time.monotonic() < ends:
        time.sleep(_POLL_S)


def _until_latest_found(reads: Reads, patience_s: float) -> None:
    """Wait until searches find the objects that were written last, for which the server sorts."""
    found = ask_index(
        reads.index,
        partial(
            reads.collection.query.fetch_objects,
            limit=_LATEST,
            sort=Sort.by_update_time(ascending=False),
            include_vector=True,
            return_properties=False,
        ),
    ).objects
    kind = pl.Array(pl.Float32, reads.schema.dimension)
    latest = pl.DataFrame(
        {
            ID: pl.Series([str(each.uuid) for each in found], dtype=pl.String),
            VECTOR: pl.Series([each.vector[VECTOR_NAME] for each in found], dtype=kind),
        }
    )
    missing = partial(unfound, latest, ID, reads.near_ids, compressed=True)
    until_empty(reads.index, lambda: len(missing()), patience_s=patience_s)
