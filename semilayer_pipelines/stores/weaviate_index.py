"""One generation as a Weaviate collection.

Objects are found by an id that follows from their key, so that writing one twice is writing it once
and no answer that was lost can double a row. Weaviate has neither transactions nor locks: a frame is
written object by object, and only the lock handed in keeps two writers apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

import polars as pl
from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import Filter, MetadataQuery

from semilayer_pipelines.errors import (
    DimensionChanged,
    ObjectsRejected,
    StoreUnavailable,
)
from semilayer_pipelines.stores.frames import check_objects, object_columns
from semilayer_pipelines.stores.lock import Lock
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SCORE,
    SHARD,
    TEXT_HASH,
    VECTOR,
    IndexSchema,
)
from semilayer_pipelines.stores.uninterrupted import to_the_end
from semilayer_pipelines.stores.weaviate_connection import T, ask_index
from semilayer_pipelines.stores.weaviate_errors import gone
from semilayer_pipelines.stores.weaviate_filter import where_filter
from semilayer_pipelines.stores.weaviate_found import fields_of, known_frame, own_columns
from semilayer_pipelines.stores.weaviate_objects import (
    chunks,
    object_id,
    outgoing,
    property_names,
)
from semilayer_pipelines.stores.weaviate_schema import VECTOR_NAME
from semilayer_pipelines.stores.weaviate_settings import Distance
from semilayer_pipelines.stores.weaviate_writes import Writes
from semilayer_pipelines.stores.where import Condition

__all__ = ["WeaviateIndex"]

SCAN_PAGE = 5_000
"""Objects a page of a scan; the server takes at most 10,000, and its own default is 100."""

_SCANNED = {KEY: pl.String, ROW_HASH: pl.String, TEXT_HASH: pl.String, SHARD: pl.Int32}
_IDS_AT_ONCE = 1_000
# As a share of the vectors that one answer may carry: a message has at most 100 MB.
_SETTLE_POLL_S = 0.2
_FETCH_BYTES = 32 * 2**20


class WeaviateIndex:
    """Implements `Index`; `collection` is the client's, `exists` asks whether it is still there."""

    def __init__(
        self,
        name: str,
        schema: IndexSchema,
        collection: Any,
        lock: Lock,
        *,
        exists: Callable[[], bool],
        most_bytes: int,
        distance: Distance,
    ) -> None:
        self._name = name
        self._schema = schema
        # What decides over writing and deleting must not come from a replica that lags behind.
        self._collection = collection.with_consistency_level(ConsistencyLevel.QUORUM)
        self._lock = lock
        self._writes = Writes(name, self._collection, lock)
        self._exists = exists
        self._most_bytes = most_bytes
        self._distance = distance
        self._columns = object_columns(schema.fields)
        self._asked = [KEY, *(name for field in schema.fields for name in property_names(field))]

    @property
    def name(self) -> str:
        """Name of the physical index."""
        return self._name

    @property
    def dimension(self) -> int:
        """Length of its vectors."""
        return self._schema.dimension

    @property
    def schema(self) -> IndexSchema:
        """What its objects look like, as the collection itself tells."""
        return self._schema

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the write lock; `RuntimeError` when nested.

        Raises `StoreUnavailable` when it stays taken, `NotFound` when the index was dropped.
        """
        with ExitStack() as held:
            held.enter_context(self._lock.hold())
            if not self._exists():
                self._lock.remove()
                raise gone(self._name)
            yield

    def add(self, objects: pl.DataFrame) -> int:
        """Append objects whose keys are known to be absent; return how many. Safe to repeat."""
        return self.upsert(objects)

    def upsert(self, objects: pl.DataFrame) -> int:
        """Insert or replace objects by key, one by one; return how many.

        A reader sees each object whole, old or new; a frame it may see half written. Raises
        `ObjectsRejected` after everything else was written.
        """
        self._require_lock()
        check_objects(objects, self._columns, self.dimension)
        rejected: dict[str, str] = {}
        for chunk in chunks(objects, self.dimension):
            rejected |= self._write_chunk(chunk)
        if rejected:
            raise ObjectsRejected(rejected, written=objects.height - len(rejected))
        return objects.height

    def delete(self, keys: Sequence[str]) -> int:
        """Delete objects by key; return how many there were."""
        self._require_lock()
        ids = [object_id(key) for key in dict.fromkeys(keys)]
        return sum(
            # An interrupt waits until the last answer: the lock outlasts the request.
            to_the_end(partial(self._writes.delete, chunk))
            for chunk in _parts(ids, _IDS_AT_ONCE)
        )

    def scan(self, *, shard: int | None = None) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH) of every object, or of one shard, a page at a time.

        In the order of the ids, with no snapshot: what comes into the index meanwhile may show or
        not, what stays in it shows exactly once. A shard costs as much as all of them: Weaviate
        does not filter a scan.
        """
        last: str | None = None
        while True:
            page = self._scan_page(last)
            if not page:
                return
            last = str(page[-1].uuid)
            found = pl.DataFrame(
                {
                    name: pl.Series([each.properties.get(name) for each in page], dtype=dtype)
                    for name, dtype in _SCANNED.items()
                }
            )
            if shard is not None:
                found = found.filter(pl.col(SHARD) == shard)
            if found.height:
                yield found.select(KEY, pl.col(ROW_HASH, TEXT_HASH).str.decode("hex"))

    def fetch(self, keys: Sequence[str], *, vectors: bool = True) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of the objects that exist."""
        ids = [object_id(key) for key in dict.fromkeys(keys)]
        at_once = min(_IDS_AT_ONCE, max(1, _FETCH_BYTES // (4 * self.dimension)))
        frames = [known_frame([], self.dimension, vectors=vectors)]
        for part in _parts(ids, at_once if vectors else _IDS_AT_ONCE):
            # One condition; the client's own way to ask for ids makes a thousand of it.
            by_ids = partial(
                self._collection.query.fetch_objects,
                filters=Filter.by_id().contains_any(part),
                limit=len(part),
                include_vector=vectors,
                return_properties=[KEY, ROW_HASH, TEXT_HASH],
            )
            found = self._ask(by_ids).objects
            frames.append(known_frame(found, self.dimension, vectors=vectors))
        return pl.concat(frames)

    def get(self, key: str) -> dict[str, object] | None:
        """Return one object's columns, vector included, or `None`."""
        found = self._ask(
            lambda: self._collection.query.fetch_object_by_id(
                object_id(key),
                include_vector=True,
                return_properties=[SHARD, ROW_HASH, TEXT_HASH, INDEXED_AT, *self._asked],
            )
        )
        if found is None:
            return None
        fields = fields_of([found], self._schema.fields).row(0, named=True)
        return own_columns(found.properties) | {VECTOR: found.vector[VECTOR_NAME]} | fields

    def search(
        self, vector: Sequence[float], *, limit: int, where: Sequence[Condition] = ()
    ) -> pl.DataFrame:
        """Return the nearest objects: KEY, SCORE (cosine similarity in [-1, 1]) and the fields.

        As exact as the collection's vector index. Raises `ConfigError` for a condition that does
        not fit the fields, `DimensionChanged` for a vector of another length.
        """
        if len(vector) != self.dimension:
            raise DimensionChanged(
                f"the query has {len(vector)} numbers, the index holds {self.dimension}.",
                cure="Embed the query with the model the lens was built with.",
            )
        condition = where_filter(where, self._schema.fields)
        found = [] if condition is False else self._nearest(vector, limit, condition)
        distances = pl.Series([each.metadata.distance for each in found], dtype=pl.Float64)
        ranked = pl.DataFrame(
            [
                pl.Series(KEY, [each.properties[KEY] for each in found], dtype=pl.String),
                _similarity(distances, self._distance).alias(SCORE),
                *fields_of(found, self._schema.fields).get_columns(),
            ]
        )
        return ranked.sort(SCORE, KEY, descending=[True, False])

    def count(self) -> int:
        """Count the objects."""
        counted = self._ask(lambda: self._collection.aggregate.over_all(total_count=True))
        return int(counted.total_count or 0)

    def settle(self, *, patience_s: float = 60.0) -> None:
        """Wait while a server with asynchronous indexing still has vectors to take in.

        Until then it searches among the others only. Raises `StoreUnavailable` when for
        `patience_s` none was taken in.
        """
        left, moved = self._unindexed(), time.monotonic()
        while left:
            time.sleep(_SETTLE_POLL_S)
            now = self._unindexed()
            if now < left:
                moved = time.monotonic()
            elif time.monotonic() - moved > patience_s:
                raise StoreUnavailable(
                    f"index {self._name}: {now:,} vectors wait to be indexed, and none was for "
                    f"{patience_s:g} s.",
                    cure="Check that the server is well; then try again.",
                )
            left = now

    def maintain(self, *, force: bool = False) -> None:
        """Do nothing: a server compacts and cleans up by itself."""

    def _write_chunk(self, chunk: pl.DataFrame) -> dict[str, str]:
        ready = outgoing(chunk, self._schema.fields, most_bytes=self._most_bytes)
        if not ready.objects:
            return ready.rejected
        return ready.rejected | to_the_end(lambda: self._writes.put(ready.objects, ready.keys))

    def _unindexed(self) -> int:
        shards = self._ask(self._collection.config.get_shards)
        return sum(int(shard.vector_queue_size) for shard in shards)

    def _scan_page(self, after: str | None) -> Sequence[Any]:
        return cast(
            Sequence[Any],
            self._ask(
                lambda: (
                    self._collection.query.fetch_objects(
                        limit=SCAN_PAGE, after=after, return_properties=list(_SCANNED)
                    ).objects
                )
            ),
        )

    def _nearest(self, vector: Sequence[float], limit: int, condition: Any) -> Sequence[Any]:
        return cast(
            Sequence[Any],
            self._ask(
                lambda: (
                    self._collection.query.near_vector(
                        [float(number) for number in vector],
                        target_vector=VECTOR_NAME,
                        limit=limit,
                        filters=None if condition is True else condition,
                        return_metadata=MetadataQuery(distance=True),
                        return_properties=self._asked,
                    ).objects
                )
            ),
        )

    def _ask(self, action: Callable[[], T]) -> T:
        return ask_index(self._name, action)

    def _require_lock(self) -> None:
        if not self._lock.held_by_this_thread:
            raise RuntimeError(f"index {self._name}: writes belong inside `with index.lock()`")


def _similarity(distances: pl.Series, distance: Distance) -> pl.Series:
    match distance:
        case Distance.COSINE:
            similar = 1 - distances
        case Distance.DOT:
            similar = -distances
        case Distance.L2_SQUARED:
            similar = 1 - distances / 2
    return similar.clip(-1, 1).cast(pl.Float32)


def _parts(ids: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
