"""One generation as a Lance table.

Writes use a handle that was opened inside the lock. A merge plans on its handle's version, and one
on an older version writes rows twice without a word. Reads see the newest version. No write is
believed before Lance's own numbers and the row count agree.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa

from semilayer_pipelines.errors import IndexDamaged, IndexDropped, StoreUnavailable
from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.lance import upkeep
from semilayer_pipelines.stores.lance.content import content_token
from semilayer_pipelines.stores.lance.errors import is_conflict, store_errors
from semilayer_pipelines.stores.lance.filter import keys_sql, where_sql
from semilayer_pipelines.stores.lance.nearest import DISTANCE, nearest
from semilayer_pipelines.stores.lance.own_writes import OwnWrites
from semilayer_pipelines.stores.lance.schema import arrow_table, index_schema
from semilayer_pipelines.stores.lance.words import by_words, by_words_unindexed
from semilayer_pipelines.stores.lock import WriterLock
from semilayer_pipelines.stores.own_vector import unfound
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    SCORE,
    TEXT_HASH,
    VECTOR,
    WORDS,
    IndexSchema,
)
from semilayer_pipelines.stores.uninterrupted import to_the_end
from semilayer_pipelines.stores.where import Condition

__all__ = ["LanceIndex"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ATTEMPTS = 3
_KEYS_AT_ONCE = 10_000  # one condition; 7 µs a key, and a few MB of text with long keys
_SCAN_ROWS = 65_536
_MERGE_BY_INDEX_ROWS = 5_000  # above, a hash join over all keys beats the key index
_ASKED_BY_KEY = 1_000  # as many are always asked for by key: a page
# Share of the table from which reading all of it beats asking by key, without and with vectors.
_SCAN_SHARE = {False: 1 / 50, True: 1 / 6}


class LanceIndex:
    """Implements `Index`; `opened` opens the table again, `folder` is where it lies."""

    def __init__(
        self, name: str, folder: Path, lock: WriterLock, opened: Callable[[], Any]
    ) -> None:
        self._name = name
        self._folder = folder
        self._lock = lock
        self._own = OwnWrites(folder)
        self._opened = opened
        self._table = opened()
        self._columns: pa.Schema = self._table.schema
        self._schema = index_schema(self._columns)

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
        """What its objects look like, as the table itself tells."""
        return self._schema

    def advice(self) -> None:
        """Say nothing: every version's tables are as good as today's."""

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the write lock, with the newest version in hand; `RuntimeError` when nested.

        Raises `StoreUnavailable` when it stays taken, `NotFound` when the index was dropped.
        """
        with ExitStack() as held:
            with self._errors("taking the write lock"):
                held.enter_context(self._lock.hold())
                try:
                    self._table = self._opened()
                except ValueError:
                    # Dropped while we waited: the file that this lock just made is in nobody's way.
                    self._lock.remove()
                    raise
                held.enter_context(self._own.locked(self._table))
            yield

    def add(self, objects: pl.DataFrame) -> int:
        """Append objects whose keys are known to be absent; return how many.

        Called again after an error it may append twice: then upsert.
        """
        rows = self._rows(objects)
        if objects.is_empty():
            return 0
        _, grown = self._write("adding", lambda table: table.add(rows))
        self._agree("adding", grown, objects.height)
        return grown

    def upsert(self, objects: pl.DataFrame, *, doubled: Sequence[str] = ()) -> int:
        """Insert or replace objects by key in one commit; return how many.

        A merge replaces both objects of a pair, each by the new one. So the pairs of `doubled` are
        taken out first, and for that moment a reader misses them.
        """
        rows = self._rows(objects)
        if objects.is_empty():
            return 0
        if doubled:
            self.delete(doubled)

        def merge(table: Any) -> Any:
            merging = table.merge_insert(KEY).when_matched_update_all()
            merging = merging.when_not_matched_insert_all()
            return merging.use_index(objects.height <= _MERGE_BY_INDEX_ROWS).execute(rows)

        merged, grown = self._write("upserting", merge)
        written = merged.num_inserted_rows + merged.num_updated_rows
        self._agree("upserting", written, objects.height)
        self._agree("upserting", grown, merged.num_inserted_rows)
        return objects.height

    def delete(self, keys: Sequence[str], *, scanned: bool = False) -> int:
        """Delete objects by key, some thousands a commit; return how many there were.

        All that a scan shows is found by its key.
        """
        self._require_lock()
        return sum(self._delete(keys_sql(chunk)) for chunk in _chunks(keys))

    def _delete(self, condition: str) -> int:
        result, grown = self._write("deleting", lambda table: table.delete(condition))
        self._agree("deleting", -grown, result.num_deleted_rows)
        return -grown

    def scan(self, *, shard: int | None = None, hashes: bool = True) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH) of all objects, or of a shard, as at the first frame.

        Without `hashes`, KEY alone.
        """
        condition = None if shard is None else f"`_shard` = {int(shard)}"
        yield from self._read([KEY, *((ROW_HASH, TEXT_HASH) if hashes else ())], condition)

    def fetch(
        self, keys: Sequence[str], *, vectors: bool = True, also: Sequence[str] = ()
    ) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of the objects that exist, and `also`."""
        columns = [KEY, ROW_HASH, TEXT_HASH, *([VECTOR] if vectors else []), *also]
        wanted = pl.Series(KEY, list(dict.fromkeys(keys)), dtype=pl.String)
        none = pl.DataFrame(schema=_polars_schema(self._columns, columns))
        if len(wanted) > _ASKED_BY_KEY and len(wanted) > self.count() * _SCAN_SHARE[vectors]:
            found = [
                frame.join(wanted.to_frame(), on=KEY, how="semi")
                for frame in self._read(columns, None)
            ]
            return pl.concat([none, *found])
        asked = (self._of_keys(columns, chunk) for chunk in _chunks(wanted.to_list()))
        return pl.concat([none, *(frame for frames in asked for frame in frames)])

    def _of_keys(self, columns: list[str], keys: list[str]) -> list[pl.DataFrame]:
        return self._despite_indexes(
            lambda indexed: list(self._read(columns, keys_sql(keys, indexed=indexed)))
        )

    def get(self, key: str) -> dict[str, object] | None:
        """Return one object's columns, vector included, or `None`."""

        def asked(indexed: bool) -> list[dict[str, object]]:
            query = self._table.search().where(keys_sql([key], indexed=indexed)).limit(1)
            found: list[dict[str, object]] = query.to_arrow().to_pylist()
            return found

        found = self._despite_indexes(asked)
        return found[0] if found else None

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
        There are `limit` of them, or as many as match. They are the nearest until the table is
        large enough for an index, and almost always from then on. Raises `ConfigError` for a
        condition that does not fit the fields, `DimensionChanged` for a vector of another length.
        """
        require_dimension(len(vector), self.dimension, giver="The query has")
        names = [f.name for f in self._schema.fields] if columns is None else [*columns]
        condition = where_sql(where, self._schema.fields)
        found = self._despite_indexes(
            lambda indexed: nearest(
                self._table,
                vector,
                limit=limit,
                columns=[KEY, *names],
                condition=condition,
                indexed=indexed,
            )
        )
        score = (1 - pl.col(DISTANCE)).clip(-1, 1).cast(pl.Float32).alias(SCORE)
        ranked = found.with_columns(score).sort(SCORE, KEY, descending=[True, False])
        return ranked.select(KEY, SCORE, *names)

    def search_words(
        self,
        tokens: Sequence[str],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        words: bool = False,
    ) -> pl.DataFrame:
        """Return the objects that have any of the tokens: KEY, SCORE (BM25) and the fields.

        With `words`, WORDS too. Raises `ConfigError` for a condition that does not fit the fields.
        """
        names = [*([WORDS] if words else []), *(field.name for field in self._schema.fields)]
        condition = where_sql(where, self._schema.fields)
        none = pl.DataFrame(schema=_polars_schema(self._columns, [KEY, *names]))
        if not tokens:
            return none.select(KEY, pl.lit(None, pl.Float32).alias(SCORE), *names)

        def ask(indexed: bool) -> pl.DataFrame:
            if indexed:
                return by_words(
                    self._table, tokens, limit=limit, columns=[KEY, *names], condition=condition
                )
            best = by_words_unindexed(self._read([KEY, WORDS], condition), tokens, limit=limit)
            rows = self._of_keys([KEY, *names], best[KEY].to_list()) if best.height else []
            return pl.concat([none, *rows]).join(best, on=KEY)

        found = self._despite_indexes(ask).sort(SCORE, KEY, descending=[True, False])
        return found.select(KEY, SCORE, *names)

    def count(self) -> int:
        """Count the objects."""
        with self._errors():
            return int(self._table.count_rows())

    def incarnation(self) -> None:
        """Return `None`: a table is in files, and no process of its own holds a part of it."""

    def content_token(self) -> str | None:
        """Return a digest of the newest version and of the files that its rows lie in.

        A version's number comes back after a restored backup; its files do not.
        """
        with self._errors():
            token = content_token(self._folder)
        self._own.looked(token)
        return token

    def own_token(self, since: str) -> str | None:
        """Return the token of now, if only this object has written since it was `since`."""
        with self._errors():
            return self._own.since(since)

    def last_written(self, since: datetime | None) -> list[str]:
        """Return nothing: a commit is whole or was not made."""
        return []

    def hidden(self, keys: Sequence[str]) -> list[str]:
        """Return which of these objects no search for their own vector finds.

        Without a vector index none: then every row is compared.
        """
        if not self._has_vector_index():
            return []
        held = self.fetch(keys).select(KEY, VECTOR)
        return unfound(held, KEY, self._nearest_keys, compressed=True)

    def rewrite(self, keys: Sequence[str]) -> int:
        """Write rows again as they are; no index covers them then, so each is compared.

        Raises what `upsert` raises.
        """
        columns = list(self._columns.names)
        rows = [frame for chunk in _chunks(keys) for frame in self._of_keys(columns, chunk)]
        return self.upsert(pl.concat(rows).unique(KEY, keep="any")) if rows else 0

    def settle(self) -> None:
        """Do nothing: what no index covers yet is searched row by row."""

    def maintain(self, *, force: bool = False) -> None:
        """Compact, clean up and index when the table is worn, or when forced; takes the lock."""
        with self._errors():
            broken = bool(upkeep.broken_indexes(self._table))
        if broken:
            with self.lock(), self._errors("maintaining"):
                upkeep.drop_broken_indexes(self._table)
        with self._errors():
            rewrite = force or upkeep.is_scattered(self._table, self._folder)
            due = rewrite or upkeep.lacks_index(self._table)
        if due:
            mend = upkeep.maintain if rewrite else upkeep.build_indexes
            with self.lock(), self._errors("maintaining"):
                to_the_end(lambda: mend(self._table))

    def _has_vector_index(self) -> bool:
        with self._errors():
            return any(index.columns == [VECTOR] for index in self._table.list_indices())

    def _nearest_keys(self, vector: Sequence[float], limit: int) -> dict[str, float]:
        found = self._despite_indexes(
            lambda indexed: nearest(
                self._table, vector, limit=limit, columns=[KEY], condition=None, indexed=indexed
            )
        )
        return dict(zip(found[KEY], found[DISTANCE], strict=True))

    def _rows(self, objects: pl.DataFrame) -> pa.Table:
        self._require_lock()
        return arrow_table(objects, self._columns)

    def _require_lock(self) -> None:
        if not self._lock.held_by_this_thread:
            raise RuntimeError(f"index {self._name}: writes belong inside `with index.lock()`")

    def _despite_indexes(self, ask: Callable[[bool], T]) -> T:
        """Ask with the indexes of the table and, where one of them cannot be read, without.

        They only save time: the rows have it all. Maintenance builds a broken one again.
        """
        try:
            with self._errors():
                return ask(True)
        except IndexDamaged as error:
            with self._errors():
                answer = ask(False)
            logger.warning(
                "%s The rows can be read, so they were asked one by one. The next job that "
                "completes builds the index of the vectors, keys or words again.",
                error.message,
            )
            return answer

    def _write(self, doing: str, write: Callable[[Any], Any]) -> tuple[Any, int]:
        """Write; return Lance's result and by how many rows the table grew."""
        try:
            return self._attempt(doing, write)
        except IndexDamaged:
            with self._errors(doing):
                if not upkeep.drop_broken_indexes(self._table):
                    raise
            return self._attempt(doing, write)

    def _attempt(self, doing: str, write: Callable[[Any], Any]) -> tuple[Any, int]:
        with self._errors(doing):
            for attempt in range(1, _ATTEMPTS + 1):
                before = int(self._table.count_rows())
                try:
                    result = to_the_end(lambda: write(self._table))
                    self._own.wrote(result.version)
                    break
                except RuntimeError as error:
                    if not is_conflict(error) or attempt == _ATTEMPTS:
                        raise
                    self._table = self._opened()
            return result, int(self._table.count_rows()) - before

    def _agree(self, doing: str, counted: int, due: int) -> None:
        if counted != due:
            raise StoreUnavailable(
                f"index {self._name}: {doing}: Lance counted {counted} rows where {due} were due.",
                cure="Run it again; if it stays, somebody else wrote to the table: rebuild.",
            )

    def _read(self, columns: list[str], condition: str | None) -> Iterator[pl.DataFrame]:
        with self._errors():
            query = self._table.search().select(columns).limit(None)
            if condition is not None:
                query = query.where(condition)
            for batch in query.to_batches(_SCAN_ROWS):
                if batch.num_rows:
                    yield pl.DataFrame(pl.from_arrow(batch))

    @contextmanager
    def _errors(self, doing: str = "reading") -> Iterator[None]:
        try:
            with store_errors(f"index {self._name}: {doing}", reading=doing == "reading"):
                yield
        except (IndexDamaged, StoreUnavailable, ValueError):
            if self._folder.is_dir():
                raise
            raise IndexDropped(
                f"the index {self._name} was dropped.",
                cure="A rebuild may have replaced it: try again. If it is lost, "
                "`semilayer verify --heal` queues a rebuild.",
            ) from None


def _chunks(keys: Sequence[str]) -> Iterator[list[str]]:
    distinct = list(dict.fromkeys(keys))
    for start in range(0, len(distinct), _KEYS_AT_ONCE):
        yield distinct[start : start + _KEYS_AT_ONCE]


def _polars_schema(columns: pa.Schema, names: list[str]) -> pl.Schema:
    empty = pa.schema([columns.field(name) for name in names]).empty_table()
    return pl.DataFrame(pl.from_arrow(empty)).schema
