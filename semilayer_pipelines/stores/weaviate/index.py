"""One generation as a Weaviate collection.

An object's id follows from its key. So writing it twice is writing it once, and a lost answer
doubles no row. Weaviate has neither transactions nor locks: a frame is written object by object,
and only the lock handed in keeps two writers apart.

Where tenants keep rows apart, each tenant has ids of its own. A question that names no tenant is
asked of all, one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, cast

import polars as pl
from weaviate.classes.config import ConsistencyLevel

from semilayer_pipelines.errors import ObjectsRejected, StoreUnavailable
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.frames import check_objects, object_columns
from semilayer_pipelines.stores.lock import Lock
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, IndexSchema
from semilayer_pipelines.stores.uninterrupted import to_the_end
from semilayer_pipelines.stores.weaviate.connection import ask_index
from semilayer_pipelines.stores.weaviate.errors import NoTenant, gone
from semilayer_pipelines.stores.weaviate.filter import where_filter
from semilayer_pipelines.stores.weaviate.found import known_frame, ranked
from semilayer_pipelines.stores.weaviate.objects import chunks, object_id, outgoing
from semilayer_pipelines.stores.weaviate.reads import IDS_AT_ONCE, Reads
from semilayer_pipelines.stores.weaviate.settings import Distance
from semilayer_pipelines.stores.weaviate.tenants import Tenants, tenants_of
from semilayer_pipelines.stores.weaviate.writes import Writes
from semilayer_pipelines.stores.where import Condition

__all__ = ["WeaviateIndex"]

_SETTLE_POLL_S = 0.2


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
        self._tenants = tenants_of(name, self._collection, schema)
        self._lock = lock
        self._exists = exists
        self._most_bytes = most_bytes
        self._distance = distance
        self._columns = object_columns(schema.fields)

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
        return _accepted(objects, self._put(objects))

    def upsert(self, objects: pl.DataFrame) -> int:
        """Insert or replace objects by key, one by one; return how many.

        A reader sees each object whole, old or new, but may see a frame half written. An object
        that changes its tenant is written to the new one and then taken out of the old. A writer
        that is killed in between leaves both; the next write or delete of it leaves one or none.
        Raises `ObjectsRejected` after everything else was written.
        """
        rejected = self._put(objects)
        if self._tenants is not None:
            written = objects.filter(~pl.col(KEY).is_in(list(rejected)))
            self._take_out_elsewhere(self._tenants, written)
        return _accepted(objects, rejected)

    def delete(self, keys: Sequence[str]) -> int:
        """Delete objects by key; return how many there were."""
        self._require_lock()
        ids = [object_id(key) for key in dict.fromkeys(keys)]
        if self._tenants is None:
            return self._delete(self._collection, ids)
        tenants = self._tenants
        return sum(self._delete_of(tenants, name, ids) for name in tenants.names()) if ids else 0

    def scan(self, *, shard: int | None = None) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH) of every object, or of one shard, a page at a time.

        There is no snapshot. An object that stays in the index shows exactly once. One that comes
        meanwhile may show or not. One that goes to another tenant meanwhile may show in both or in
        neither. A shard costs as much as all of them, as Weaviate does not filter a scan.
        """
        for part in self._parts():
            yield from self._reads(part).scan(shard)

    def fetch(
        self, keys: Sequence[str], *, vectors: bool = True, also: Sequence[str] = ()
    ) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of the objects that exist, and `also`."""
        fields = [field for field in self._schema.fields if field.name in also]
        when = INDEXED_AT in also
        frames = [known_frame([], self.dimension, vectors=vectors, fields=fields, when=when)]
        if keys:
            for part in self._parts():
                reads = self._reads(part)
                frames += reads.fetch(keys, vectors=vectors, fields=fields, when=when)
        return pl.concat(frames)

    def get(self, key: str) -> dict[str, object] | None:
        """Return one object's columns, vector included, or `None`."""
        found = [self._reads(part).get(key) for part in self._parts()]
        # The latest, should a killed writer have left the one of another tenant as well.
        return max(
            (row for row in found if row is not None),
            key=lambda row: cast(datetime, row[INDEXED_AT]),
            default=None,
        )

    def search(
        self, vector: Sequence[float], *, limit: int, where: Sequence[Condition] = ()
    ) -> pl.DataFrame:
        """Return the nearest objects: KEY, SCORE (cosine similarity in [-1, 1]) and the fields.

        There are `limit` of them, or as many as match; they are as near as the collection's vector
        index finds. Raises `ConfigError` for a condition that does
        not fit the fields and when none names the tenant, `DimensionChanged` for a vector of
        another length.
        """
        require_dimension(len(vector), self.dimension, giver="The query has")
        return ranked(self._nearest(vector, limit, where), self._schema.fields, self._distance)

    def count(self) -> int:
        """Count the objects."""
        return sum(self._reads(part).count() for part in self._parts())

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

    def _parts(self) -> list[Any]:
        """Return what holds all objects: the collection, or each tenant's part of it."""
        if self._tenants is None:
            return [self._collection]
        return [self._tenants.part(name) for name in self._tenants.names()]

    def _reads(self, part: Any) -> Reads:
        return Reads(self._name, self._schema, part)

    def _put(self, objects: pl.DataFrame) -> dict[str, str]:
        """Write objects, each to its tenant; return the rejected keys with the reasons."""
        self._require_lock()
        check_objects(objects, self._columns, self.dimension)
        rejected: dict[str, str] = {}
        for part, rows in self._apart(objects):
            writes = Writes(self._name, part, self._lock)
            for chunk in chunks(rows, self.dimension):
                rejected |= self._write_chunk(writes, chunk)
        return rejected

    def _apart(self, objects: pl.DataFrame) -> Iterator[tuple[Any, pl.DataFrame]]:
        if self._tenants is None:
            yield self._collection, objects
            return
        for name, rows in self._tenants.apart(objects):
            yield self._tenants.part(name), rows

    def _write_chunk(self, writes: Writes, chunk: pl.DataFrame) -> dict[str, str]:
        ready = outgoing(chunk, self._schema.fields, most_bytes=self._most_bytes)
        if not ready.objects:
            return ready.rejected
        return ready.rejected | to_the_end(lambda: writes.put(ready.objects, ready.keys))

    def _take_out_elsewhere(self, tenants: Tenants, written: pl.DataFrame) -> None:
        """Delete what other tenants have of objects that were just written to their own."""
        if not written.height:
            return
        homes = tenants.homes(written)
        ids = pl.Series([object_id(key) for key in written[KEY].to_list()])
        for name in tenants.names():
            self._delete_of(tenants, name, ids.filter(homes != name).to_list())

    def _delete_of(self, tenants: Tenants, name: str, ids: list[str]) -> int:
        try:
            return self._delete(tenants.part(name), ids)
        except NoTenant:
            tenants.check_gone(name)
            return 0

    def _delete(self, part: Any, ids: list[str]) -> int:
        writes = Writes(self._name, part, self._lock)
        return sum(
            # An interrupt waits until the last answer: the lock outlasts the request.
            to_the_end(partial(writes.delete, ids[start : start + IDS_AT_ONCE]))
            for start in range(0, len(ids), IDS_AT_ONCE)
        )

    def _unindexed(self) -> int:
        # Of a collection with tenants, the server tells of all of them.
        shards = ask_index(self._name, self._collection.config.get_shards)
        return sum(int(shard.vector_queue_size) for shard in shards)

    def _nearest(
        self, vector: Sequence[float], limit: int, where: Sequence[Condition]
    ) -> Sequence[Any]:
        part = self._collection
        tenant: str | None = None
        if self._tenants is not None:
            tenant, where = self._tenants.asked(where)
            part = None if tenant is None else self._tenants.part(tenant)
        condition = where_filter(where, self._schema.fields)
        if part is None or condition is False:
            return []
        condition = None if condition is True else condition
        return self._reads(part).nearest(vector, limit, condition, self._distance)

    def _require_lock(self) -> None:
        if not self._lock.held_by_this_thread:
            raise RuntimeError(f"index {self._name}: writes belong inside `with index.lock()`")


def _accepted(objects: pl.DataFrame, rejected: dict[str, str]) -> int:
    if rejected:
        raise ObjectsRejected(rejected, written=objects.height - len(rejected))
    return objects.height
