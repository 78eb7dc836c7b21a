"""An index of rows over two of objects: those of the rows, and those of the chunks of some.

The order of writing keeps every row whole to a reader, whenever a writer dies:

1. the new version's chunks come into the index of chunks,
2. the row's object is replaced: from now on only the new version counts,
3. the old version's chunks go.

A delete begins with the row's object. What a dead writer leaves is of no version that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial

import polars as pl

from semilayer_pipelines.errors import NotFound, ObjectsRejected
from semilayer_pipelines.stores.chunks.held import (
    PLACES,
    Digests,
    chunk_objects,
    keys_of,
    stored_chunks,
    whole_hashes,
)
from semilayer_pipelines.stores.chunks.insert import insert
from semilayer_pipelines.stores.chunks.leftovers import CHUNK_KEY, leftovers
from semilayer_pipelines.stores.chunks.objects import in_two, without_chunks
from semilayer_pipelines.stores.chunks.protocol import CHUNKS, END, FIELD, ORDINAL, START
from semilayer_pipelines.stores.chunks.search import nearest_rows, with_no_chunk
from semilayer_pipelines.stores.chunks.versions import VERSION, chunk_keys, parsed, versions
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    TEXT_HASH,
    VECTOR,
    Index,
    IndexSchema,
)
from semilayer_pipelines.stores.where import Condition

__all__ = ["ChunkedIndex"]

_REMOVED_AT_ONCE = 200_000  # the rest is left to the next sync

_NO_GROUPS = pl.Series(dtype=pl.UInt64)
_NONE_BEFORE = pl.DataFrame(schema={KEY: pl.String, VERSION: pl.UInt64})


class ChunkedIndex:
    """Implements `RowIndex`.

    `find` opens the index of chunks, `None` as long as there is none; `make` makes it.
    """

    def __init__(
        self,
        main: Index,
        find: Callable[[], Index | None],
        make: Callable[[], Index],
    ) -> None:
        self._main = main
        self._find = find
        self._make = make
        self._chunks = find()
        self._held: ExitStack | None = None
        self._leftovers = _NO_GROUPS

    @property
    def name(self) -> str:
        """Name of the main index."""
        return self._main.name

    @property
    def schema(self) -> IndexSchema:
        """What the objects of rows look like, as the store tells."""
        return self._main.schema

    @property
    def dimension(self) -> int:
        """Length of its vectors."""
        return self._main.dimension

    @property
    def cuts(self) -> bool:
        """Whether any row was ever cut."""
        return self._chunks is not None

    @property
    def leftovers(self) -> pl.Series:
        """The groups of chunks that the last whole `scan` met, and that were of no row."""
        return self._leftovers

    def advice(self) -> str | None:
        """Say what a rebuild would better, though nothing is wrong; `None` for nothing."""
        return self._main.advice()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the write locks of both indexes; `RuntimeError` when nested."""
        with self._main.lock(), ExitStack() as held:
            if self._chunks is None:
                # Another process may have cut the first row before this one had the lock.
                self._chunks = self._find()
            self._held = held
            try:
                if self._chunks is not None:
                    self._enter(self._chunks)
                yield
            finally:
                self._held = None

    def _enter(self, chunks: Index) -> None:
        assert self._held is not None
        try:
            self._held.enter_context(chunks.lock())
        except NotFound:
            # Somebody dropped it: rows that were cut are found to have lost their chunks.
            self._chunks = None

    def add(self, objects: pl.DataFrame) -> int:
        """Append rows whose keys the caller knows to be absent; return how many.

        Chunks of an equal row, which a killed run left, are replaced.
        """
        whole = without_chunks(objects)
        if whole is not None:
            return self._main.add(whole)
        return self._write(objects, _NONE_BEFORE, self._main.add)

    def upsert(self, objects: pl.DataFrame, *, doubled: Sequence[str] = ()) -> int:
        """Insert or replace rows by key; return how many.

        Searches find the old or the new row of a key, and the chunks of that one. Raises
        `ObjectsRejected`, by the keys of rows, after all others were written; a row of which one
        chunk is rejected stays what it was.
        """
        write = partial(self._main.upsert, doubled=doubled)
        whole = without_chunks(objects)
        if whole is not None and self._chunks is None:
            return write(whole)
        before = self._versions(objects[KEY].to_list())
        return self._write(objects if whole is None else whole, before, write)

    def _write(
        self, objects: pl.DataFrame, before: pl.DataFrame, write: Callable[[pl.DataFrame], int]
    ) -> int:
        rows, pieces, rejected = objects, None, dict[str, str]()
        if CHUNKS in objects.columns:
            rows, pieces = in_two(objects, before, self.schema)
            rejected = insert(self._made(), pieces, replacing=before.height > 0)
            if rejected:
                rows = rows.filter(~pl.col(KEY).is_in(list(rejected)))
        try:
            written = write(rows) if rows.height else 0
        except ObjectsRejected as some:
            written = some.written
            rejected |= some.reasons
        if rejected and pieces is not None:
            of = parsed(pieces[KEY])[KEY]
            self._delete_chunks(pieces[KEY].filter(of.is_in(list(rejected))))
        self._take_out(before.filter(~pl.col(KEY).is_in(list(rejected))))
        if rejected:
            raise ObjectsRejected(rejected, written=written)
        return written

    def _made(self) -> Index:
        if self._chunks is None:
            self._chunks = self._make()
            self._enter(self._chunks)
        assert self._chunks is not None, "made a moment ago, under the lock of the rows"
        return self._chunks

    def delete(self, keys: Sequence[str], *, scanned: bool = False) -> int:
        """Delete rows by key, with their chunks; return how many objects of rows there were.

        `scanned` says that a scan showed all of them. Chunks of an object that only a scan finds
        are left to `remove_leftovers`.
        """
        before = _NONE_BEFORE if self._chunks is None else self._versions(keys)
        deleted = self._main.delete(keys, scanned=scanned)
        self._take_out(before)
        return deleted

    def _versions(self, keys: Sequence[str]) -> pl.DataFrame:
        """Return KEY and VERSION of what is stored of rows."""
        if self._chunks is None:
            return _NONE_BEFORE
        objects = self.stored(keys)
        return objects.select(KEY, versions(objects))

    def _take_out(self, rows: pl.DataFrame) -> None:
        if self._chunks is not None and rows.height:
            self._delete_chunks(chunk_keys(keys_of(self._chunks, rows)))

    def _delete_chunks(self, keys: pl.Series) -> None:
        if self._chunks is not None and len(keys):
            self._chunks.delete(keys.to_list())

    def scan(self, *, shard: int | None = None, hashes: bool = True) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ROW_HASH, TEXT_HASH) of every row, or of one shard; bounded in memory.

        Of a row whose chunks are not all there, and each once, TEXT_HASH is that of no text. Holds
        16 bytes for each row that was cut. Without `hashes`, KEY alone, and no chunk is read.
        """
        self._look()
        if self._chunks is None or not hashes:
            yield from self._main.scan(shard=shard, hashes=hashes)
            return
        digests = Digests(self._chunks.scan(shard=shard))
        for frame in self._main.scan(shard=shard):
            yield digests.uncover(frame)
        if shard is None:
            self._leftovers = digests.leftovers

    def _look(self) -> None:
        """Look for chunks again: another process may have cut the first row meanwhile."""
        if self._chunks is None:
            self._chunks = self._find()
            if self._chunks is not None and self._held is not None:
                self._enter(self._chunks)

    def fetch(
        self, keys: Sequence[str], *, vectors: bool = True, also: Sequence[str] = ()
    ) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH[, VECTOR]) of the rows that exist, and `also`.

        The vector of a row that was cut is that of its first chunk. Its TEXT_HASH is that of no
        text when its chunks are not all there, and each once.
        """
        found = self._main.fetch(keys, vectors=vectors, also=also)
        return found if self._chunks is None else whole_hashes(self._chunks, found)

    def stored(self, keys: Sequence[str]) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH) of the objects of rows as they are stored."""
        return self._main.fetch(keys, vectors=False)

    def held(self, keys: Sequence[str], *, vectors: bool = True) -> pl.DataFrame:
        """Return (KEY, TEXT_HASH[, VECTOR]) of every text that was embedded for these rows."""
        columns = [KEY, TEXT_HASH, *([VECTOR] if vectors else [])]
        rows = self._main.fetch(keys, vectors=vectors)
        if self._chunks is None:
            return rows.select(columns)
        named = rows.select(KEY, versions(rows))
        pieces = stored_chunks(self._chunks, named, vectors=vectors)
        return pl.concat([rows.select(columns), pieces.select(columns)])

    def chunks_of(self, keys: Sequence[str]) -> pl.DataFrame:
        """Return (KEY, ORDINAL, FIELD, START, END, TEXT_HASH) of the chunks held of rows."""
        if self._chunks is None:
            return pl.DataFrame(schema=PLACES)
        place = (FIELD, START, END)
        found = stored_chunks(self._chunks, self._versions(keys), vectors=False, also=place)
        return found.select(*PLACES).sort(KEY, ORDINAL)

    def chunk_objects(self, keys: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield what is held of the chunks of rows; see `held.chunk_objects`."""
        if self._chunks is not None:
            yield from chunk_objects(self._chunks, self._versions(keys))

    def get(self, key: str) -> dict[str, object] | None:
        """Return the columns of a row's object, vector included, or `None`; see `fetch`."""
        found = self._main.get(key)
        if found is None or self._chunks is None:
            return found
        hashes = {name: [found[name]] for name in (KEY, ROW_HASH, TEXT_HASH)}
        schema = {KEY: pl.String, ROW_HASH: pl.Binary, TEXT_HASH: pl.Binary}
        whole = whole_hashes(self._chunks, pl.DataFrame(hashes, schema=schema))
        return found | {TEXT_HASH: whole[TEXT_HASH][0]}

    def search(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the nearest rows: KEY, SCORE (cosine similarity), the fields and CHUNK.

        A row that was cut is as near as its nearest chunk, which CHUNK tells: the `field` that was
        cut, `start` and `end` in the characters of its plain text, and `score`. `columns` are
        returned instead of the fields, hashes as they are stored.
        """
        if self._chunks is None:
            near = self._main.search(vector, limit=limit, where=where, columns=columns)
            return with_no_chunk(near)
        told = [f.name for f in self.schema.fields] if columns is None else columns
        return nearest_rows(
            self._main, self._chunks, vector, limit=limit, where=where, columns=told
        )

    def search_words(
        self,
        tokens: Sequence[str],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        words: bool = False,
    ) -> pl.DataFrame:
        """Return the rows that have any of the tokens: KEY, SCORE, the fields and CHUNK, null.

        With `words`, WORDS too. A row's words are all at its own object, so the chunks are not
        asked.
        """
        found = self._main.search_words(tokens, limit=limit, where=where, words=words)
        return with_no_chunk(found)

    def count(self) -> int:
        """Count the objects of rows."""
        return self._main.count()

    def vectors(self) -> int:
        """Count the vectors: one a row, and one for each chunk of a row that was cut."""
        return self._main.count() + (0 if self._chunks is None else self._chunks.count())

    def content_token(self) -> str | None:
        """Return a text that changes with every object of a row or of a chunk."""
        rows = self._main.content_token()
        if rows is None or self._chunks is None:
            return rows
        of_chunks = self._chunks.content_token()
        return None if of_chunks is None else f"{rows} {of_chunks}"

    def own_token(self, since: str) -> str | None:
        """Return the token of now, if only this object has written since it was `since`.

        `None` where the first row was cut since: nobody looked at the index of chunks before.
        """
        tokens = since.split()
        indexes = [self._main, *([] if self._chunks is None else [self._chunks])]
        if len(tokens) != len(indexes):
            return None
        now = [one.own_token(token) for one, token in zip(indexes, tokens, strict=True)]
        return None if None in now else " ".join(map(str, now))

    def incarnation(self) -> str | None:
        """Return a text that changes when the store was started again."""
        return self._main.incarnation()

    def last_written(self, since: datetime | None) -> list[str]:
        """Return the keys of rows whose vectors a restart after `since` may have lost."""
        keys = self._main.last_written(since)
        if self._chunks is None:
            return keys
        of_chunks = pl.Series(KEY, self._chunks.last_written(since), dtype=pl.String)
        rows = parsed(of_chunks)[KEY].drop_nulls().unique(maintain_order=True)
        return list(dict.fromkeys([*keys, *rows]))

    def hidden(self, keys: Sequence[str]) -> list[str]:
        """Return which of these rows no search for their own vector, or a chunk's, finds."""
        hidden = self._main.hidden(keys)
        if self._chunks is None:
            return hidden
        pieces = chunk_keys(keys_of(self._chunks, self._versions(keys))).to_list()
        lost = self._chunks.hidden(pieces) if pieces else []
        rows = parsed(pl.Series(KEY, lost, dtype=pl.String))[KEY]
        return list(dict.fromkeys([*hidden, *rows]))

    def rewrite(self, keys: Sequence[str]) -> int:
        """Write rows and their chunks again with all that they hold; return how many rows."""
        if self._chunks is not None:
            pieces = chunk_keys(keys_of(self._chunks, self._versions(keys))).to_list()
            if pieces:
                self._chunks.rewrite(pieces)
        return self._main.rewrite(keys)

    def settle(self) -> None:
        """Wait until searches find all that was written, where a store indexes after writing."""
        self._main.settle()
        if self._chunks is not None:
            self._chunks.settle()

    def maintain(self, *, force: bool = False) -> None:
        """Compact and clean up both when enough was written since the last time (or forced)."""
        self._main.maintain(force=force)
        if self._chunks is not None:
            self._chunks.maintain(force=force)

    def orphan_chunks(self, among: pl.Series) -> Iterator[pl.Series]:
        """Yield the keys of rows, one a chunk, of chunks that were leftovers before and still are.

        `among` are `leftovers` of a scan. An object that is no chunk has its own key.
        """
        if self._chunks is not None and len(among):
            for found in leftovers(self._main, self._chunks, among):
                yield found[KEY]

    def remove_leftovers(self) -> int:
        """Delete those of the `leftovers` that are of no row as it is now; return how many.

        No search shows them. Must be called inside the lock.
        """
        if self._chunks is None or self._leftovers.is_empty():
            return 0
        stale: list[str] = []
        # The others are of rows: to look each of these up would keep every other writer waiting.
        for found in leftovers(self._main, self._chunks, self._leftovers):
            stale += found[CHUNK_KEY].to_list()
            if len(stale) > _REMOVED_AT_ONCE:
                break
        else:
            self._leftovers = _NO_GROUPS
        return self._chunks.delete(stale, scanned=True) if stale else 0
