"""One generation as a Weaviate collection.

An object's ids follow from its key (see `ids`). So writing it twice is writing it once, and a lost
answer doubles no row. Weaviate has neither transactions nor locks: a frame is written object by
object, and only the lock handed in keeps two writers apart. What is written is noted in the ledger.

Where tenants keep rows apart, each tenant has ids of its own. A question that names no tenant is
asked of all, or of those where the ledger knows the keys to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, cast

import polars as pl

from semilayer_pipelines.errors import ObjectsRejected
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.frames import check_objects, object_columns
from semilayer_pipelines.stores.lock import Lock
from semilayer_pipelines.stores.own_vector import unfound
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TAIL_ROWS,
    TEXT_HASH,
    WORDS,
    IndexSchema,
)
from semilayer_pipelines.stores.weaviate.contents import Contents
from semilayer_pipelines.stores.weaviate.cursor import ID
from semilayer_pipelines.stores.weaviate.errors import gone
from semilayer_pipelines.stores.weaviate.found import known_frame, ranked, scored
from semilayer_pipelines.stores.weaviate.journal import Entry, Journal
from semilayer_pipelines.stores.weaviate.ledger import TENANT, Held
from semilayer_pipelines.stores.weaviate.part_writes import PartWrites
from semilayer_pipelines.stores.weaviate.parts import WHOLE, Parts
from semilayer_pipelines.stores.weaviate.queue import PATIENCE_S, until_indexed
from semilayer_pipelines.stores.weaviate.reads import LONG_AGO, Reads
from semilayer_pipelines.stores.weaviate.schema import VECTOR_AT
from semilayer_pipelines.stores.weaviate.settings import Distance
from semilayer_pipelines.stores.where import Condition

__all__ = ["WeaviateIndex"]


class WeaviateIndex:
    """Implements `Index`; `collection` is the client's, `exists` asks whether it is still there."""

    def __init__(
        self,
        name: str,
        schema: IndexSchema,
        collection: Any,
        lock: Lock,
        journal: Journal,
        *,
        exists: Callable[[], bool],
        incarnation: Callable[[], str | None],
        waiting: Callable[[], int],
        later: bool,
        compressed: bool,
        most_bytes: int,
        distance: Distance,
    ) -> None:
        self._name = name
        self._schema = schema
        self._collection = collection
        self._parts = Parts(name, schema, self._collection)
        self._lock = lock
        self._journal = journal
        self._contents = Contents(self._parts.reads, journal, later)
        self._exists = exists
        self._incarnation = incarnation
        self._waiting = waiting
        self._writes = PartWrites(
            name, collection, self._parts, self._contents, lock, waiting, most_bytes
        )
        self._compressed = compressed
        self._distance = distance
        self._columns = object_columns(schema)

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

    def advice(self) -> str | None:
        """Say that every sync reads the whole collection, where sums prove nothing of it."""
        if self._contents.is_provable(self._parts.names()):
            return None
        return (
            "Every sync reads all of the index, because the server's sums do not prove what is in "
            "it. An older version made it, or the server's filters lack objects since a crash. "
            "A rebuild ends that, and takes its vectors over."
        )

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
        with self._entry() as entry:
            rejected = self._put(objects, entry, absent=True)
        return _accepted(objects, rejected)

    def upsert(self, objects: pl.DataFrame, *, doubled: Sequence[str] = ()) -> int:
        """Insert or replace objects by key, one by one; return how many.

        A reader sees each object whole, old or new, but may see a frame half written. An object
        whose text changed is inserted beside the old one, which goes after that; searches of ours
        show the newer. So does an object that changes its tenant. A writer that is killed in
        between leaves both; the next write or delete of it leaves one or none, whether it is among
        `doubled` or not. Raises `ObjectsRejected` after everything else was written.
        """
        with self._entry() as entry:
            self._writes.doubt(doubled)
            rejected = self._put(objects, entry)
            written = objects.filter(~pl.col(KEY).is_in(list(rejected)))
            self._writes.take_out_elsewhere(written, entry)
            self._writes.take_out_strays(written[KEY].to_list())
        return _accepted(objects, rejected)

    def delete(self, keys: Sequence[str], *, scanned: bool = False) -> int:
        """Delete objects by key; return how many there were.

        `scanned` says that a scan showed all of them. A crash may have left some in no index, so
        that only a scan finds them. Those are deleted by their addresses.
        """
        if not keys:
            self._require_lock()
            return 0
        with self._entry() as entry:
            parts = self._parts.of_keys(keys, self._held(entry))
            unlisted = self._writes.unlisted(parts) if scanned else {}
            deleted = self._writes.take_out(parts, entry)
            deleted += self._writes.take_out_unlisted(unlisted)
            return deleted + self._writes.take_out_strays(keys)

    def scan(self, *, shard: int | None = None, hashes: bool = True) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH) of every object, or of one shard, a page at a time.

        Without `hashes`, KEY alone.

        They come from the ledger where the server's sums agree with it. There is no snapshot. An
        object that stays in the index shows exactly once. One that comes meanwhile may show or not.
        One that goes to another tenant, or is being replaced, may show twice or not at all.
        """
        for rows in self._contents.rows(self._parts.names()):
            found = rows if shard is None else rows.filter(pl.col(SHARD) == shard)
            if found.height:
                yield found.select(KEY, *((ROW_HASH, TEXT_HASH) if hashes else ()))

    def fetch(
        self, keys: Sequence[str], *, vectors: bool = True, also: Sequence[str] = ()
    ) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of the objects that exist, and `also`."""
        fields = [field for field in self._schema.fields if field.name in also]
        own = [name for name in (INDEXED_AT, WORDS) if name in also]

        def ask(reads: Reads, some: list[str]) -> list[pl.DataFrame]:
            return list(reads.fetch(some, vectors=vectors, fields=fields, own=own))

        none = known_frame([], [], self.dimension, vectors=vectors, fields=fields, own=own)
        found = self._parts.ask(self._where(keys), ask) if keys else []
        return pl.concat([none, *(frame for frames in found for frame in frames)])

    def get(self, key: str) -> dict[str, object] | None:
        """Return one object's columns, vector included, or `None`."""
        found = self._parts.ask(self._where([key]), lambda reads, _: reads.get(key))
        # The latest, should a killed writer have left the one of another tenant as well.
        return max(
            (row for row in found if row is not None),
            key=lambda row: cast(datetime, row[INDEXED_AT] or LONG_AGO),
            default=None,
        )

    def search(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the nearest objects: KEY, SCORE (cosine similarity in [-1, 1]) and the fields.

        `columns` are returned instead of the fields.
        There are `limit` of them, or as many as match; they are as near as the collection's vector
        index finds. Of a row that is being replaced it is the newer object. Raises `ConfigError`
        for a condition that does not fit the fields and when none names the tenant,
        `DimensionChanged` for a vector of another length.
        """
        require_dimension(len(vector), self.dimension, giver="The query has")
        asked = self._parts.asked(where)
        found: Sequence[Any] = []
        if asked is not None:
            reads, condition = asked
            found = reads.showing(columns).nearest(vector, limit, condition, self._distance)
        return ranked(found, self._schema.fields, self._distance, columns)

    def search_words(
        self,
        tokens: Sequence[str],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        words: bool = False,
    ) -> pl.DataFrame:
        """Return the objects that have any of the tokens: KEY, SCORE (BM25) and the fields.

        With `words`, WORDS too. Of a row that is being replaced it is the newer object. Raises
        `ConfigError` as `search` does.
        """
        asked = self._parts.asked(where)
        found: Sequence[Any] = []
        if asked is not None and tokens:
            reads, condition = asked
            found = reads.having_words(tokens, limit, condition, words)
        return scored(found, self._schema.fields, words)

    def count(self) -> int:
        """Count the objects."""
        return sum(self._parts.reads(name).count() for name in self._parts.names())

    def content_token(self) -> str | None:
        """Return the server's sums of each tenant; `None` where they do not cover every object."""
        return self._contents.token(self._parts.names())

    def own_token(self, since: str) -> str | None:
        """Return the token, if it is `since` still: it does not tell who wrote."""
        now = self.content_token()
        return now if now == since else None

    def incarnation(self) -> str | None:
        """Return a text that changes when a node of the server was started again."""
        return self._incarnation()

    def last_written(self, since: datetime | None) -> list[str]:
        """Return the keys of objects whose vectors a restart after `since` may have lost.

        The ledger tells, where the server's sums agree with it: a restart leaves those alone.
        """
        most = TAIL_ROWS * self._parts.shards()
        after = int(since.timestamp() * 1_000_000) if since is not None else None
        tail: pl.DataFrame | None = None
        for rows in self._contents.rows(self._parts.names()):
            some = rows.select(TENANT, KEY, pl.col(VECTOR_AT).fill_null(0))
            tail = some if tail is None else pl.concat([tail, some])
            last = pl.col(VECTOR_AT).rank("min", descending=True).over(TENANT) <= most
            tail = tail.filter(last if after is None else last | (pl.col(VECTOR_AT) > after))
        return [] if tail is None else tail[KEY].unique(maintain_order=True).to_list()

    def hidden(self, keys: Sequence[str]) -> list[str]:
        """Return which of these objects are held, and found by no search for their own vector.

        A key of two objects is among them if one of the two is hidden.
        """
        itself = -1.0 if self._distance is Distance.DOT else 0.0

        def ask(reads: Reads, some: list[str]) -> list[str]:
            lost = list[str]()
            for held in reads.vectors(some):
                ids = unfound(held, ID, reads.near_ids, compressed=self._compressed, itself=itself)
                lost += held.filter(pl.col(ID).is_in(ids))[KEY].to_list()
            return lost

        found = self._parts.ask(self._where(keys), ask)
        return list(dict.fromkeys(key for lost in found for key in lost))

    def rewrite(self, keys: Sequence[str]) -> int:
        """Write objects again under their other id, vectors and all; return how many.

        The server leaves an equal vector under the same id alone, wherever it has lost it.
        """
        written = 0
        with self._entry() as entry:
            for name, some in self._parts.of_keys(keys, self._held(entry)).items():
                for objects in self._parts.reads(name).whole(some):
                    rows = objects.drop_nulls([ROW_HASH, TEXT_HASH, INDEXED_AT])
                    rows = rows.select(self._columns)
                    if rows.height:
                        rejected = self._writes.put([(name, rows)], entry, in_doubt=True)
                        written += rows.height - len(rejected)
        return written

    def settle(self, *, patience_s: float = PATIENCE_S) -> None:
        """Wait while a server with asynchronous indexing still has vectors to take in.

        Until then it searches among the others only. Raises `StoreUnavailable` when for
        `patience_s` none was taken in.
        """
        whole = self._parts.reads(WHOLE) if self._parts.tenants is None else None
        until_indexed(self._name, self._collection, self._waiting, whole, patience_s)

    def maintain(self, *, force: bool = False) -> None:
        """Do nothing: a server compacts and cleans up by itself."""

    def _where(self, keys: Sequence[str]) -> dict[str, list[str]]:
        """Return by tenant which of these keys it may have."""
        held = None if self._parts.tenants is None else self._journal.seen_all()
        return self._parts.of_keys(keys, held)

    def _held(self, entry: Entry) -> Held | None:
        # Without tenants there is one place where a key can be.
        return None if self._parts.tenants is None else entry.held

    @contextmanager
    def _entry(self) -> Iterator[Entry]:
        self._require_lock()
        with self._journal.entry() as entry:
            yield entry

    def _put(self, objects: pl.DataFrame, entry: Entry, *, absent: bool = False) -> dict[str, str]:
        """Write objects, each to its tenant; return the rejected keys with the reasons."""
        check_objects(objects, self._columns, self.dimension)
        if objects.is_empty():
            return {}
        return self._writes.put(self._parts.apart(objects), entry, absent=absent)

    def _require_lock(self) -> None:
        if not self._lock.held_by_this_thread:
            raise RuntimeError(f"index {self._name}: writes belong inside `with index.lock()`")


def _accepted(objects: pl.DataFrame, rejected: dict[str, str]) -> int:
    if rejected:
        raise ObjectsRejected(rejected, written=objects.height - len(rejected))
    return objects.height
