"""What a store is: a place for generations, and an index to read and write one of them.

An index holds one object a row, under the row's key as text. Frames that go in have the columns of
`object_columns`; `_vector` is a Polars Array of Float32. Every write is acknowledged when the call
returns, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.where import Condition

__all__ = [
    "INDEXED_AT",
    "KEY",
    "OWN_CONNECTION",
    "ROW_HASH",
    "SCORE",
    "SHARD",
    "TAIL_ROWS",
    "TEXT_HASH",
    "VECTOR",
    "WORDS",
    "Index",
    "IndexField",
    "IndexSchema",
    "Store",
]

KEY = "_key"  # String: the row's key as text
SHARD = "_shard"  # Int32: number of the key range the row was read in
ROW_HASH = "_row_hash"  # Binary, 16 bytes
TEXT_HASH = "_text_hash"  # Binary, 16 bytes
INDEXED_AT = "_indexed_at"  # Datetime[us, UTC]
VECTOR = "_vector"  # Array[Float32, dimension]
WORDS = "_words"  # String, of an index with keywords: tokens with blanks between them, or null
TAIL_ROWS = 2_000
"""Objects of each shard or tenant that a crash of the store may have taken out of its index."""

OWN_CONNECTION = "connection:"

SCORE = "_score"  # Float32, in search results; `score` could be the name of a mapped field


@dataclass(frozen=True)
class IndexField:
    """One mapped field as the store keeps it."""

    name: str
    type: FieldType
    array: bool = False
    integer: bool = False


@dataclass(frozen=True)
class IndexSchema:
    """What the objects of a generation look like.

    `tenant` is the field that says whose an object is, for a store that keeps tenants apart.
    `words` says that objects have WORDS, which `search_words` looks at.
    """

    fields: tuple[IndexField, ...]
    dimension: int
    tenant: str | None = None
    words: bool = False

    def holds_like(self, other: IndexSchema) -> bool:
        """Say whether objects of one can be kept as objects of the other, in whatever order."""
        alike = (self.dimension, self.words) == (other.dimension, other.words)
        return alike and set(self.fields) == set(other.fields)


class Index(Protocol):
    """One generation of one lens.

    Verbs raise `StoreUnavailable` (may pass), `StoreFull` (no room, read-only), `StoreRefused` (no
    permission) and `DimensionChanged`. `add` and `upsert` raise `ObjectsRejected` for objects that
    the store cannot hold, after they have written all others.
    """

    @property
    def name(self) -> str:
        """Name of the physical index."""
        ...

    @property
    def schema(self) -> IndexSchema:
        """What its objects look like, as the store tells."""
        ...

    @property
    def dimension(self) -> int:
        """Length of its vectors."""
        ...

    def advice(self) -> str | None:
        """Say what a rebuild would better, though nothing is wrong; `None` for nothing."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Hold the write lock: one writer at a time, across threads, processes and crashes.

        `add`, `upsert` and `delete` must be called inside it.
        """
        ...

    def add(self, objects: pl.DataFrame) -> int:
        """Append objects whose keys the caller knows to be absent; return how many."""
        ...

    def upsert(self, objects: pl.DataFrame, *, doubled: Sequence[str] = ()) -> int:
        """Insert or replace objects by key; return how many.

        Keys must be distinct within the frame. Searches find the old or the new object of a key,
        never both and never neither. A frame is one step only where the store has transactions. In
        other stores the new object is beside the old one for a moment, and scans, counts and
        look-ups see both.

        Of the keys in `doubled` there are two objects; one is left.
        """
        ...

    def delete(self, keys: Sequence[str], *, scanned: bool = False) -> int:
        """Delete objects by key; return how many there were. Absent keys are no error.

        `scanned` says that a scan showed all of them. Then what only a scan finds is deleted too.
        """
        ...

    def scan(self, *, shard: int | None = None, hashes: bool = True) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH) of every object, or of one shard; bounded in memory.

        Without `hashes`, KEY alone.

        An object that stays in the index all the while is in one frame exactly; where a store keeps
        tenants apart, one that goes to another tenant meanwhile may be in two frames or in none.
        """
        ...

    def fetch(
        self, keys: Sequence[str], *, vectors: bool = True, also: Sequence[str] = ()
    ) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of the objects that exist.

        `also` names more columns to return: INDEXED_AT, WORDS, or mapped fields.
        """
        ...

    def get(self, key: str) -> dict[str, object] | None:
        """Return one object's columns, vector included, or `None`."""
        ...

    def search(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the nearest objects: KEY, SCORE (cosine similarity, Float32) and the fields.

        `columns` are returned instead of the fields: some of these, ROW_HASH and TEXT_HASH.
        There are `limit` of them, or as many as match; the best comes first. `where` may name any
        declared field, and all its conditions must hold. A store that keeps tenants apart needs one
        by `tenant_condition`.
        """
        ...

    def search_words(
        self,
        tokens: Sequence[str],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        words: bool = False,
    ) -> pl.DataFrame:
        """Return the objects whose WORDS have any of the tokens: KEY, SCORE and the fields.

        With `words`, WORDS too.

        SCORE is BM25's (Float32, above 0): rare tokens count more than common ones, and a token of
        few more than one of many. There are `limit` of them, or as many as match; the best comes
        first. An object is found as soon as it is written. For an index whose schema has `words`.
        `where` is that of `search`.
        """
        ...

    def count(self) -> int:
        """Count the objects."""
        ...

    def content_token(self) -> str | None:
        """Return a text that changes with every object that comes, goes or is written again.

        Equal texts of one index, at whatever times: it held the same at both. It may change though
        nothing did. `None` where the store cannot tell, or not for sure.
        """
        ...

    def own_token(self, since: str) -> str | None:
        """Return the content token of now, if only this object has written since it was `since`.

        `since` was told by this object. `None` where somebody else wrote, or may have.
        """
        ...

    def incarnation(self) -> str | None:
        """Return a text that changes when the store was started again.

        `None` where a restart loses nothing. A text that begins with `OWN_CONNECTION` is only of
        use to this process: the store does not tell, and a lost connection counts as a restart.
        """
        ...

    def last_written(self, since: datetime | None) -> list[str]:
        """Return the keys of objects whose vectors a restart after `since` may have lost.

        They are those written after `since`, and the last `TAIL_ROWS` before it of every shard or
        tenant. Objects that were written together count as one moment, so there may be more.
        """
        ...

    def hidden(self, keys: Sequence[str]) -> list[str]:
        """Return which of these objects are held, and found by no search for their own vector."""
        ...

    def rewrite(self, keys: Sequence[str]) -> int:
        """Write objects again with all that they hold, so that searches find them; return how many.

        Absent keys are no error. Must be called inside the lock.
        """
        ...

    def settle(self) -> None:
        """Wait until searches find all that was written, where a store indexes after writing.

        Raises `StoreUnavailable` when that gets nowhere.
        """
        ...

    def maintain(self, *, force: bool = False) -> None:
        """Compact and clean up when enough was written since the last time (or when forced)."""
        ...


class Store(Protocol):
    """Where the generations of all lenses of one environment live."""

    def check(self, lenses: Mapping[str, bool]) -> None:
        """Ask, writing nothing, whether the indexes of these lenses can be made and used here.

        Each lens says whether it keeps tenants apart. Raises `StoreUnavailable` (no answer),
        `StoreRefused` (wrong key, too old, a permission is lacking) and `StoreFull` (read-only).
        """
        ...

    def create(self, name: str, schema: IndexSchema) -> Index:
        """Create an index, or open it when it exists already; raise if its dimension differs."""
        ...

    def find(self, name: str) -> Index | None:
        """Open an index; return `None` when there is none, or it was dropped a moment ago."""
        ...

    def open(self, name: str) -> Index:
        """Open an existing index; raise `NotFound` when there is none."""
        ...

    def exists(self, name: str) -> bool:
        """Say whether the index exists."""
        ...

    def drop(self, name: str) -> None:
        """Remove an index; no error when it is gone already."""
        ...

    def names(self) -> list[str]:
        """List the indexes of this environment."""
        ...

    def point(self, lens: str, name: str) -> None:
        """Let the lens's public name in the store, where it has such names, lead to an index.

        Other programs search the store by that name. Our searches use the registry, which decides.
        Safe to repeat.
        """
        ...
