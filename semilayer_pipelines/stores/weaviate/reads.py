"""Reading one collection, or one tenant's part of one.

A tenant that is not there holds nothing: it is made with its first object. A node may not know of
it yet. Then its rows look new and are written once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
    WORDS,
    IndexField,
    IndexSchema,
)
from semilayer_pipelines.stores.weaviate.compared import MOST_COMPARED, compared
from semilayer_pipelines.stores.weaviate.connection import T, ask_index
from semilayer_pipelines.stores.weaviate.cursor import ID, page, scanned, stored
from semilayer_pipelines.stores.weaviate.enough import enough
from semilayer_pipelines.stores.weaviate.errors import AnswerTooLarge, NoTenant
from semilayer_pipelines.stores.weaviate.found import (
    fields_of,
    hashes,
    known_frame,
    newest_of_each,
    own_columns,
    whole_numbers,
    written_at,
)
from semilayer_pipelines.stores.weaviate.ids import SLOTS, object_id
from semilayer_pipelines.stores.weaviate.objects import property_names
from semilayer_pipelines.stores.weaviate.placing import SLOT, no_places
from semilayer_pipelines.stores.weaviate.schema import VECTOR_AT, VECTOR_NAME
from semilayer_pipelines.stores.weaviate.settings import Distance
from semilayer_pipelines.stores.weaviate.sums import ASKED, Sums, of_server

__all__ = ["IDS_AT_ONCE", "LONG_AGO", "Reads"]

IDS_AT_ONCE = 1_000
"""Objects that one request names."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""When an object was written that does not say so."""

# As a share of the vectors that one answer may carry: a message has at most 100 MB.
_FETCH_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Reads:
    """What is asked of the client's `collection`."""

    index: str
    schema: IndexSchema
    collection: Any
    hashes: tuple[str, ...] = ()

    def count(self, condition: Any = None) -> int:
        """Count the objects, or those under a filter of the client's."""
        counted = partial(self.collection.aggregate.over_all, filters=condition, total_count=True)
        return int(self._ask(lambda: counted().total_count, None) or 0)

    def sums(self) -> Sums:
        """Return what the server adds up, of a collection that has `LATER`."""
        ask = partial(self.collection.aggregate.over_all, total_count=True, return_metrics=ASKED)
        told = self._ask(ask, None)
        return Sums() if told is None else of_server(told)

    def scan(self, also: Sequence[str] = ()) -> Iterator[pl.DataFrame]:
        """Yield ID, KEY, SLOT, SHARD, ROW_HASH, TEXT_HASH and `also` of all, in the ids' order.

        SLOT is null for an object whose id is none that we give; the rest may be null as well.
        There is no snapshot. An object that stays in the collection shows exactly once, and one
        that comes meanwhile may show or not.
        """
        last: str | None = None
        asked = [KEY, SHARD, ROW_HASH, TEXT_HASH, *also]
        while found := self._objects(page(self.collection, last, asked)):
            last = str(found[-1].uuid)
            yield scanned(found, also)

    def places(self, keys: Sequence[str], *, later: bool) -> pl.DataFrame:
        """Return what the collection has of these keys, as `no_places` has it."""
        asked = [TEXT_HASH, INDEXED_AT, *([VECTOR_AT] if later else [])]
        frames = [no_places()]
        for own, found in self._of_keys(keys, asked, IDS_AT_ONCE, vectors=False):
            at = pl.Series(
                [each.properties.get(INDEXED_AT) for each in found], dtype=pl.Datetime("us", "UTC")
            )
            frame = pl.DataFrame(
                {
                    KEY: pl.Series([key for key, _ in own], dtype=pl.String),
                    SLOT: pl.Series([slot for _, slot in own], dtype=pl.UInt8),
                    TEXT_HASH: hashes(found, TEXT_HASH),
                    INDEXED_AT: at.fill_null(LONG_AGO),
                    VECTOR_AT: whole_numbers(found, VECTOR_AT),
                }
            )
            frames.append(frame)
        return pl.concat(frames)

    def fetch(
        self,
        keys: Sequence[str],
        *,
        vectors: bool,
        fields: Sequence[IndexField],
        own: Sequence[str],
    ) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH[, VECTOR], own columns, fields) of existing objects.

        `own` may have INDEXED_AT and WORDS.
        """
        asked = [ROW_HASH, TEXT_HASH, *own]
        asked += [name for field in fields for name in property_names(field)]
        dimension = self.schema.dimension
        at_once = self._at_once if vectors else IDS_AT_ONCE
        for places, found in self._of_keys(keys, asked, at_once, vectors=vectors):
            known = [key for key, _ in places]
            yield known_frame(found, known, dimension, vectors=vectors, fields=fields, own=own)

    def whole(self, keys: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield objects with all that they hold: the columns of objects, in some order.

        Of two objects of one key the newer. Those that no filter finds are among them.
        """
        fields, dimension = self.schema.fields, self.schema.dimension
        own = [INDEXED_AT, *self._words]
        asked = [SHARD, ROW_HASH, TEXT_HASH, *own, *self._fields]
        for places, found in self._of_keys(keys, asked, self._at_once, vectors=True, unlisted=True):
            known = known_frame(
                found, [key for key, _ in places], dimension, vectors=True, fields=fields, own=own
            )
            known = known.with_columns(whole_numbers(found, SHARD).cast(pl.Int32))
            yield known.sort(INDEXED_AT).unique(KEY, keep="last", maintain_order=True)

    def vectors(self, keys: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield ID, KEY and VECTOR of the objects of these keys that have a vector.

        Those that no filter finds are among them.
        """
        dtype = pl.Array(pl.Float32, self.schema.dimension)
        for own, found in self._of_keys(keys, [KEY], self._at_once, vectors=True, unlisted=True):
            rows = [
                (str(each.uuid), key, each.vector[VECTOR_NAME])
                for (key, _), each in zip(own, found, strict=True)
                if VECTOR_NAME in each.vector
            ]
            yield pl.DataFrame(rows, {ID: pl.String, KEY: pl.String, VECTOR: dtype}, orient="row")

    def get(self, key: str) -> dict[str, object] | None:
        """Return one object's columns, vector included, or `None`."""
        asked = [SHARD, ROW_HASH, TEXT_HASH, INDEXED_AT, *self._words, *self._fields]
        ((_, found),) = self._of_keys([key], asked, 1, vectors=True)
        if not found:
            return None
        newest = max(found, key=written_at)
        fields = fields_of([newest], self.schema.fields).row(0, named=True)
        words = {name: newest.properties.get(name) for name in self._words}
        return {KEY: key} | own_columns(newest) | words | fields

    def showing(self, columns: Sequence[str] | None) -> Reads:
        """Return what asks searches for these fields only, and for hashes; `None` for all."""
        if columns is None:
            return self
        fields = tuple(field for field in self.schema.fields if field.name in columns)
        hashes = [name for name in (ROW_HASH, TEXT_HASH) if name in columns]
        return replace(self, schema=replace(self.schema, fields=fields), hashes=(*hashes,))

    def nearest(
        self, vector: Sequence[float], limit: int, condition: Any, distance: Distance
    ) -> Sequence[Any]:
        """Return the nearest objects as the client receives them; `condition` is its filter.

        There are `limit` of them, or as many as match.
        """

        def ask(some: int) -> Sequence[Any]:
            return self._near(vector, some, condition)

        found, whole = enough(ask, limit)
        once = newest_of_each(found)
        if whole and len(once) >= limit:
            return once[:limit]
        matching = self.count(condition)
        if len(found) == len(once) >= matching:
            return once[:limit]
        # Numbers do not tell which rows an answer lacks, so two are taken together.
        again, _ = enough(ask, limit)
        once = newest_of_each(sorted([*found, *again], key=_distance))
        if len(once) >= limit or len(again) >= matching:
            return once[:limit]
        if matching > MOST_COMPARED:
            # The more are asked for, the farther the server looks.
            farther = [*once, *ask(MOST_COMPARED)]
            return newest_of_each(sorted(farther, key=_distance))[:limit]
        return compared(self, vector, limit, condition, distance)

    def having_words(
        self, tokens: Sequence[str], limit: int, condition: Any, words: bool
    ) -> Sequence[Any]:
        """Return the best objects that have any of the tokens, as the client receives them.

        With `words`, they bring their own. There are `limit` of them, or as many as match.
        """
        told = [*self._asked, *(self._words if words else [])]

        def ask(some: int) -> Sequence[Any]:
            return self._by_words(tokens, some, condition, told)

        found, whole = enough(ask, limit)
        if not whole:
            again, _ = enough(ask, limit)
            found = sorted([*found, *again], key=_score, reverse=True)
        return newest_of_each(found)[:limit]

    def near_ids(self, vector: Sequence[float], limit: int) -> dict[str, float]:
        """Return the ids of the objects that the server's index finds nearest, with distances."""
        near = partial(
            self.collection.query.near_vector,
            list(vector),
            target_vector=VECTOR_NAME,
            limit=limit,
            return_metadata=MetadataQuery(distance=True),
            return_properties=False,
        )
        return {str(each.uuid): float(each.metadata.distance) for each in self._objects(near)}

    def listed(self, condition: Any) -> dict[str, str | None]:
        """Return the keys of at most `MOST_COMPARED` objects that match, by the server's ids."""
        list_ = partial(
            self.collection.query.fetch_objects,
            filters=condition,
            limit=MOST_COMPARED,
            return_properties=[KEY],
        )
        return {str(each.uuid): each.properties.get(KEY) for each in self._objects(list_)}

    def of_ids(self, ids: Sequence[str], condition: Any) -> Iterator[Sequence[Any]]:
        """Yield the objects under these ids that match, as the client receives them, with vectors.

        A page at a time.
        """
        for start in range(0, len(ids), self._at_once):
            some = ids[start : start + self._at_once]
            yield self._under(some, self._asked, vectors=True, condition=condition)

    def _near(self, vector: Sequence[float], limit: int, condition: Any) -> Sequence[Any]:
        near = partial(
            self.collection.query.near_vector,
            [float(number) for number in vector],
            target_vector=VECTOR_NAME,
            limit=limit,
            filters=condition,
            return_metadata=MetadataQuery(distance=True),
        )
        return self._found(near, self._asked)

    def _by_words(
        self, tokens: Sequence[str], limit: int, condition: Any, told: list[str]
    ) -> Sequence[Any]:
        having = partial(
            self.collection.query.bm25,
            " ".join(tokens),
            query_properties=[WORDS],
            limit=limit,
            filters=condition,
            return_metadata=MetadataQuery(score=True),
        )
        return self._found(having, told)

    def _found(self, search: Callable[..., Any], told: list[str]) -> Sequence[Any]:
        """Return what a search finds with these properties, read by themselves if they are long.

        Of objects that are deleted in between nothing is read.
        """
        try:
            return self._objects(partial(search, return_properties=told))
        except AnswerTooLarge:
            found = self._objects(partial(search, return_properties=False))
        ids = [str(each.uuid) for each in found]
        read: dict[Any, Any] = {}
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = self._under(ids[start : start + IDS_AT_ONCE], told, vectors=False)
            read |= {each.uuid: each.properties for each in some}
        kept = [each for each in found if each.uuid in read]
        for each in kept:
            each.properties = read[each.uuid]
        return kept

    @property
    def _at_once(self) -> int:
        """Return how many ids a request may name whose answer carries vectors."""
        return min(IDS_AT_ONCE, max(SLOTS, _FETCH_BYTES // (4 * self.schema.dimension)))

    @property
    def _words(self) -> list[str]:
        return [WORDS] if self.schema.words else []

    @property
    def _fields(self) -> list[str]:
        return [name for field in self.schema.fields for name in property_names(field)]

    @property
    def _asked(self) -> list[str]:
        return [KEY, INDEXED_AT, *self.hashes, *self._fields]

    def _of_keys(
        self,
        keys: Sequence[str],
        asked: list[str],
        at_once: int,
        *,
        vectors: bool,
        unlisted: bool = False,
    ) -> Iterator[tuple[list[tuple[str, int]], Sequence[Any]]]:
        """Yield the objects that there are of some keys at a time, with their keys and slots.

        A request names `at_once` ids at most, but both of one key. Keys of which nothing is found
        are asked for once more, one by one, if what is `unlisted` in all indexes is wanted.
        """
        distinct = list(dict.fromkeys(keys))
        step = max(1, at_once // SLOTS)
        for start in range(0, len(distinct), step):
            some = distinct[start : start + step]
            owners = {object_id(key, slot): (key, slot) for key in some for slot in range(SLOTS)}
            found = self._under(list(owners), asked, vectors=vectors)
            if unlisted:
                known = {owners[str(each.uuid)][0] for each in found}
                lacking = [own for own, (key, _) in owners.items() if key not in known]
                found = [*found, *self._stored(lacking, asked)]
            yield [owners[str(each.uuid)] for each in found], found

    def _under(
        self, ids: Sequence[str], asked: list[str], *, vectors: bool, condition: Any = None
    ) -> Sequence[Any]:
        # One condition; the client's own way to ask for ids makes a thousand of it.
        under = Filter.by_id().contains_any(list(ids))
        fetch = partial(
            self.collection.query.fetch_objects,
            filters=under if condition is None else under & condition,
            limit=len(ids),
            include_vector=vectors,
            return_properties=asked,
        )
        try:
            return self._objects(fetch)
        except AnswerTooLarge:
            if len(ids) == 1:
                raise
        halves = ids[: len(ids) // 2], ids[len(ids) // 2 :]
        return [
            each
            for half in halves
            for each in self._under(half, asked, vectors=vectors, condition=condition)
        ]

    def stored_among(self, ids: Sequence[str]) -> list[str]:
        """Return under which of these ids an object is stored, in whatever index it is or is not.

        One by one, so ids should be few.
        """
        return [str(each.uuid) for each in self._stored(ids, [KEY])]

    def _stored(self, ids: Sequence[str], asked: list[str]) -> Iterator[Any]:
        def ask(before: str) -> Sequence[Any]:
            return self._objects(page(self.collection, before, asked, limit=1, vectors=True))

        return stored(ids, ask)

    def _objects(self, action: Callable[[], Any]) -> Sequence[Any]:
        found: Sequence[Any] = self._ask(lambda: action().objects, [])
        return found

    def _ask(self, action: Callable[[], T], nothing: T) -> T:
        try:
            return ask_index(self.index, action)
        except NoTenant:
            return nothing


def _distance(found: Any) -> float:
    return float(found.metadata.distance)


def _score(found: Any) -> float:
    return float(found.metadata.score)
