"""Waiting for a server that takes vectors into its index after it acknowledged them.

The nodes tell how many vectors wait, to whoever may read them. The shards tell that some do, to
whoever may read tenants; their own figure is always 0. Everybody else looks for the objects that
were written last: once a search finds them by their own vectors, all are in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl
from weaviate.classes.query import Sort
from weaviate.exceptions import UnexpectedStatusCodeError

from semilayer_pipelines.errors import StoreRefused, StoreUnavailable
from semilayer_pipelines.stores.own_vector import unfound
from semilayer_pipelines.stores.protocol import KEY, VECTOR
from semilayer_pipelines.stores.weaviate.connection import ask_index
from semilayer_pipelines.stores.weaviate.cursor import ID
from semilayer_pipelines.stores.weaviate.errors import gone
from semilayer_pipelines.stores.weaviate.ids import object_id
from semilayer_pipelines.stores.weaviate.placing import AFTER, SLOT
from semilayer_pipelines.stores.weaviate.reads import Reads
from semilayer_pipelines.stores.weaviate.schema import VECTOR_NAME

__all__ = ["PATIENCE_S", "in_queues", "until_empty", "until_found", "until_indexed"]

PATIENCE_S = 60.0
"""How long a server may take in no vector at all."""

_BLIND = 10  # times as patient where nobody tells how many wait
_POLL_S = 0.2
_LATE_S = 5.0  # after the queue is empty its last vectors are in
_FEW = 100  # one in so many is asked for where no vector seems to wait
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


def until_found(written: Sequence[tuple[Reads, pl.DataFrame]], waiting: Callable[[], int]) -> None:
    """Wait until searches find what was just written beside old objects, by part.

    The queue tells that it is empty a moment before its last vectors are in. So every object is
    asked for, unless the queue was empty at once and a few are found. The index may never reach
    some, so the wait ends when none more was found for a while. Raises `StoreUnavailable` when the
    queue gets no shorter.
    """
    lacking = [(reads, _beside(rows)) for reads, rows in written]
    if not lacking:
        return
    patience_s, queued = _LATE_S, 0
    try:
        queued = waiting()
    except StoreRefused:
        patience_s = PATIENCE_S
    few = [(reads, pl.concat([rows.gather_every(_FEW), rows.tail(1)])) for reads, rows in lacking]
    if not queued and not _unfound(few):
        return
    if queued:
        until_empty(written[0][0].index, waiting)
    moved = time.monotonic()
    while left := _unfound(lacking):
        if _rows(left) < _rows(lacking):
            moved = time.monotonic()
        elif time.monotonic() - moved > patience_s:
            return
        lacking = left
        time.sleep(_POLL_S)


def _beside(written: pl.DataFrame) -> pl.DataFrame:
    """Return ID and VECTOR of the objects that were put beside an old one."""
    new = written.filter(pl.col(AFTER).is_not_null())
    ids = [object_id(key, slot) for key, slot in zip(new[KEY], new[SLOT], strict=True)]
    return new.select(pl.Series(ID, ids, dtype=pl.String), VECTOR)


def _unfound(parts: Sequence[tuple[Reads, pl.DataFrame]]) -> list[tuple[Reads, pl.DataFrame]]:
    """Return what searches for its own vector do not find, of ID and VECTOR by part."""
    left = [
        (reads, rows.filter(pl.col(ID).is_in(unfound(rows, ID, reads.near_ids, compressed=True))))
        for reads, rows in parts
    ]
    return [(reads, rows) for reads, rows in left if rows.height]


def _rows(parts: Sequence[tuple[Reads, pl.DataFrame]]) -> int:
    return sum(rows.height for _, rows in parts)


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
