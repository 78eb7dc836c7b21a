"""The rows that a smart sync reads where the last walk proves the others.

These are the rows that were written since, those of which the index holds something else than the
walk saw, and those that are asked for in any case. What the walk saw of all others is still so.
They count as read, and what the index has of them stays.

Deleted rows leave no trace in what was written. So the database sums up its hashes of the keys.
Where that is not the sum of the keys that are known, it is asked for the sums by bucket. All keys
are read of a bucket that differs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import polars as pl

from semilayer_pipelines.bridges.protocol import (
    KEY_HASH,
    KeySums,
    Selection,
    SourcePage,
    Window,
)
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.chosen_rows import seen_rows
from semilayer_pipelines.ingest.confirm_absent import in_chunks
from semilayer_pipelines.ingest.kept_rows import KeptRows, NewKept
from semilayer_pipelines.ingest.key_hashes import KeyHashes
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.ingest.look_up import look_up
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.walk import walk
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import changes
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = ["UnprovenRows"]

MOST_BUCKETS = 16_384
"""Buckets of keys whose sums a source is asked for: some hundred kilobytes."""

BUCKET_ROWS = 100
"""A small table has as many buckets as give each about this many rows."""

_BUCKET, _ROWS, _SUM = "bucket", "rows", "sum"


@dataclass
class UnprovenRows:
    """Rows written after `since`, those of `unlike` keys, and those `asked` for.

    `last` is what the last walk saw of all rows. `now` is what the source says of its keys since;
    both are `None` where none was written or removed. `kept` takes what this one sees, and nothing
    where that is the same.
    """

    last: KeptRows
    kept: NewKept
    bounds: tuple[str, ...]
    hashed: bool
    since: str | None
    now: KeySums | None
    unlike: pl.Series
    asked: Sequence[str]
    proven: Counts = field(default_factory=Counts)
    saw_the_same: bool = False
    _read: KeyHashes = field(default_factory=KeyHashes)
    _written: list[pl.Series] = field(default_factory=list)

    def pages(self, opened: OpenLens, known: KnownRows, page_size: PageSize) -> Iterator[Page]:
        """Read the pages, and let `known` know which rows are there without having been read."""
        selection = replace(opened.selection, bounds=self.bounds, hashed=self.hashed)
        opened = replace(opened, selection=selection)
        gone = KeyHashes()
        if self.since is not None and self.now is not None and self.now != self.last.key_sums:
            if self.now.written:
                yield from self._since(opened, self.since, page_size)
            gone = self._gone(opened, self.now)
        asked = pl.Series([*dict.fromkeys([*self.unlike, *self.asked])], dtype=pl.String)
        others = KeyHashes()
        others.add(asked)
        self._prove_others(known, self._read | gone | others)
        yield from self._by_key(opened, gone.without(self._read.without(asked)))

    def saw(self, opened: OpenLens, page: Page, mapped: Mapped) -> None:
        """Keep what the page showed in the place of what the last walk saw."""
        self.kept.add(seen_rows(opened, page, mapped))

    def _prove_others(self, known: KnownRows, out: KeyHashes) -> None:
        """Count the rows of all keys but `out` as proven, and keep them."""
        self.saw_the_same = not out
        if out:
            self.kept.build_on(self.last, out)
        for rows in self.last.frames():
            other = out.have(rows[KEY])
            left = rows.filter(~other)
            textless = left.filter(pl.col(ROW_HASH).is_not_null() & pl.col(TEXT_HASH).is_null())
            known.mark_seen(left[KEY].filter(left[TEXT_HASH].is_not_null()))
            self.proven += Counts(proven=left.height, textless=textless.height)
            if out:
                self.kept.carry(left, rows[KEY].filter(other))

    def _since(self, opened: OpenLens, since: str, page_size: PageSize) -> Iterator[Page]:
        def read(selection: Selection, window: Window, limit: int) -> SourcePage:
            return opened.bridge.read_written(selection, since, window, limit)

        for page in walk(opened, Window(), self._shard, page_size, read):
            self._read.add(key_texts(page.rows, opened.selection.key))
            self._written.append(page.rows[KEY_HASH])
            self._read.add(pl.Series([*page.refused, *page.outside], dtype=pl.String))
            yield page

    def _by_key(self, opened: OpenLens, keys: pl.Series) -> Iterator[Page]:
        for some in in_chunks(keys):
            started = time.monotonic()
            with opened.registry.read() as db:
                seq = changes.latest_seq(db, opened.lens.id)
            for asked, found in look_up(opened, opened.selection, some):
                # A row that another key finds as well, by the database's equality, is on one page.
                named = key_texts(found.frame, opened.selection.key).is_in(asked)
                yield Page(
                    found.frame.filter(named),
                    self._shard,
                    seq,
                    started,
                    refused=found.refused,
                    outside=found.outside,
                )
                started = time.monotonic()

    @property
    def _shard(self) -> int | None:
        return None if self.bounds else 0

    def _unread(self) -> Iterator[pl.DataFrame]:
        for rows in self.last.frames(KEY_HASH):
            yield rows.filter(~self._read.have(rows[KEY])) if self._read else rows

    @cached_property
    def _number(self) -> int:
        return max(1, min(MOST_BUCKETS, self.last.rows // BUCKET_ROWS))

    def _gone(self, opened: OpenLens, now: KeySums) -> KeyHashes:
        """Return the keys that the last walk saw and that the source has no more."""
        mine, gone = self._sums(), KeyHashes()
        if (mine[_ROWS].sum(), mine[_SUM].sum()) == (now.rows, now.total):
            return gone
        ask = partial(opened.bridge.buckets, opened.selection, self._number)
        theirs = retrying(ask, SourceUnreachable)
        as_texts = mine.with_columns(pl.col(_SUM).cast(pl.String))
        other = as_texts.join(theirs, on=[_BUCKET, _ROWS, _SUM], how="anti")[_BUCKET]
        if other.is_empty():
            return gone

        def keys() -> KeyHashes:
            found = KeyHashes()
            for some in opened.bridge.read_keys(opened.selection, self._number, other.to_list()):
                found.add(some)
            return found

        there = retrying(keys, SourceUnreachable)
        for rows in self._unread():
            bucket = pl.col(KEY_HASH) % self._number
            gone.add(there.without(rows.filter(bucket.is_in(other.implode()))[KEY]))
        return gone

    def _sums(self) -> pl.DataFrame:
        """Return bucket, rows (Int64) and sum (Int128) of the keys that are known to be there."""
        hashes = [rows.select(KEY_HASH) for rows in self._unread()]
        hashes += [written.to_frame() for written in self._written]
        known = pl.concat([pl.DataFrame(schema={KEY_HASH: pl.Int64}), *hashes]).drop_nulls()
        return (
            known.group_by((pl.col(KEY_HASH) % self._number).alias(_BUCKET))
            .agg(pl.len().cast(pl.Int64).alias(_ROWS), pl.col(KEY_HASH).cast(pl.Int128).sum())
            .rename({KEY_HASH: _SUM})
        )
