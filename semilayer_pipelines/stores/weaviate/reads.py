"""Reading one collection, or one tenant's part of one.

A tenant that is not there holds nothing: it is made with its first object. A node may not know of
it yet. Then its rows look new and are written once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl
from weaviate.classes.query import Filter, MetadataQuery

from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    IndexField,
    IndexSchema,
)
from semilayer_pipelines.stores.weaviate.compared import MOST_COMPARED, compared
from semilayer_pipelines.stores.weaviate.connection import T, ask_index
from semilayer_pipelines.stores.weaviate.errors import NoTenant
from semilayer_pipelines.stores.weaviate.found import fields_of, known_frame, own_columns
from semilayer_pipelines.stores.weaviate.objects import object_id, property_names
from semilayer_pipelines.stores.weaviate.schema import VECTOR_NAME
from semilayer_pipelines.stores.weaviate.settings import Distance

__all__ = ["IDS_AT_ONCE", "SCAN_PAGE", "Reads"]

SCAN_PAGE = 5_000
"""Objects per page of a scan; the server takes at most 10,000, and its own default is 100."""

IDS_AT_ONCE = 1_000
"""Objects that one request names."""

_SCANNED = {KEY: pl.String, ROW_HASH: pl.String, TEXT_HASH: pl.String, SHARD: pl.Int32}
# As a share of the vectors that one answer may carry: a message has at most 100 MB.
_FETCH_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Reads:
    """What is asked of the client's `collection`."""

    index: str
    schema: IndexSchema
    collection: Any

    def count(self, condition: Any = None) -> int:
        """Count the objects, or those under a filter of the client's."""
        counted = partial(self.collection.aggregate.over_all, filters=condition, total_count=True)
        return int(self._ask(lambda: counted().total_count, None) or 0)

    def scan(self, shard: int | None) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH) of all objects, or of a shard, in the order of the ids.

        There is no snapshot. An object that stays in the collection shows exactly once, and one
        that comes meanwhile may show or not.
        """
        last: str | None = None
        while True:
            page = self._page(last)
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

    def fetch(
        self, keys: Sequence[str], *, vectors: bool, fields: Sequence[IndexField], when: bool
    ) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH[, VECTOR][, INDEXED_AT], fields) of existing objects."""
        asked = [KEY, ROW_HASH, TEXT_HASH, *([INDEXED_AT] if when else ())]
        asked += [name for field in fields for name in property_names(field)]
        dimension = self.schema.dimension
        ids = [object_id(key) for key in dict.fromkeys(keys)]
        at_once = min(IDS_AT_ONCE, max(1, _FETCH_BYTES // (4 * dimension)))
        for start in range(0, len(ids), at_once if vectors else IDS_AT_ONCE):
            part = ids[start : start + (at_once if vectors else IDS_AT_ONCE)]
            # One condition; the client's own way to ask for ids makes a thousand of it.
            by_ids = partial(
                self.collection.query.fetch_objects,
                filters=Filter.by_id().contains_any(part),
                limit=len(part),
                include_vector=vectors,
                return_properties=asked,
            )
            found = self._objects(by_ids)
            yield known_frame(found, dimension, vectors=vectors, fields=fields, when=when)

    def get(self, key: str) -> dict[str, object] | None:
        """Return one object's columns, vector included, or `None`."""
        found = self._ask(
            lambda: self.collection.query.fetch_object_by_id(
                object_id(key),
                include_vector=True,
                return_properties=[SHARD, ROW_HASH, TEXT_HASH, INDEXED_AT, *self._asked],
            ),
            None,
        )
        if found is None:
            return None
        fields = fields_of([found], self.schema.fields).row(0, named=True)
        return own_columns(found.properties) | {VECTOR: found.vector[VECTOR_NAME]} | fields

    def nearest(
        self, vector: Sequence[float], limit: int, condition: Any, distance: Distance
    ) -> Sequence[Any]:
        """Return the nearest objects as the client receives them; `condition` is its filter.

        There are `limit` of them, or as many as match.
        """
        found = self._near(vector, limit, condition)
        if len(found) >= limit:
            return found
        matching = self.count(condition)
        if len(found) >= matching:
            return found
        if matching > MOST_COMPARED:
            # The more are asked for, the farther the server looks.
            return self._near(vector, MOST_COMPARED, condition)[:limit]
        return compared(self, vector, limit, condition, distance)

    def page_of(self, condition: Any, start: int, rows: int) -> Sequence[Any]:
        """Return some of the objects that match, as the client receives them, with vectors."""
        return self._objects(
            partial(
                self.collection.query.fetch_objects,
                filters=condition,
                offset=start,
                limit=rows,
                include_vector=True,
                return_properties=self._asked,
            )
        )

    def _near(self, vector: Sequence[float], limit: int, condition: Any) -> Sequence[Any]:
        return self._objects(
            partial(
                self.collection.query.near_vector,
                [float(number) for number in vector],
                target_vector=VECTOR_NAME,
                limit=limit,
                filters=condition,
                return_metadata=MetadataQuery(distance=True),
                return_properties=self._asked,
            )
        )

    @property
    def _asked(self) -> list[str]:
        return [KEY, *(name for field in self.schema.fields for name in property_names(field))]

    def _page(self, after: str | None) -> Sequence[Any]:
        return self._objects(
            partial(
                self.collection.query.fetch_objects,
                limit=SCAN_PAGE,
                after=after,
                return_properties=list(_SCANNED),
            )
        )

    def _objects(self, action: Callable[[], Any]) -> Sequence[Any]:
        found: Sequence[Any] = self._ask(lambda: action().objects, [])
        return found

    def _ask(self, action: Callable[[], T], nothing: T) -> T:
        try:
            return ask_index(self.index, action)
        except NoTenant:
            return nothing
