"""Rows that are near a vector: by their own vectors, and by those of their chunks.

Both indexes are asked. A chunk counts only while its version is that of its row's object, so a
search in the middle of a write shows the row of before or of after. When something was replaced in
between, both are asked again: what came is there before what it replaces goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from semilayer_pipelines.stores.chunks.conditions import (
    asked_of_chunks,
    checked_on_rows,
    holding,
)
from semilayer_pipelines.stores.chunks.protocol import (
    CHUNK,
    END,
    FIELD,
    ORDINAL,
    START,
)
from semilayer_pipelines.stores.chunks.versions import VERSION, chunk_keys, parsed, versions
from semilayer_pipelines.stores.patience import threads
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, SCORE, TEXT_HASH, Index
from semilayer_pipelines.stores.where import Condition

__all__ = ["CHUNK_TYPE", "nearest_rows", "with_no_chunk"]

CHUNK_TYPE = pl.Struct(
    {
        "field": pl.String(),
        "start": pl.Int64(),
        "end": pl.Int64(),
        "score": pl.Float32(),
    }
)

_CHUNKS_A_ROW = 4
"""Times the limit that chunks are asked for at first: a row may have many near ones."""

_MORE = 5  # times as many when they were of too few rows
_MOST = 10_000  # that a store gives at once

_AT_0 = "\0at 0"

_ATTEMPTS = 3
"""How often both indexes are asked while rows are replaced in between."""


@dataclass(frozen=True)
class _Asked:
    """What one search of both indexes found.

    `stale` are objects (row and version) that both gave of rows which are of another version.
    """

    rows: pl.DataFrame
    stale: frozenset[tuple[str, int]]


def nearest_rows(
    main: Index,
    chunks: Index,
    vector: Sequence[float],
    *,
    limit: int,
    where: Sequence[Condition],
    columns: Sequence[str],
) -> pl.DataFrame:
    """Return the nearest rows: KEY, SCORE, the columns and CHUNK, the best first.

    A row that was cut is as near as the nearest of its chunks, which CHUNK tells.
    """
    search = partial(_Search, main, chunks, vector, limit, where, columns)
    asked = search().ask()
    for _ in range(_ATTEMPTS - 1):
        if not asked.stale:
            break
        before, asked = asked, search().ask()
        if asked.stale == before.stale:
            break  # what a dead writer left
    return asked.rows


def with_no_chunk(found: pl.DataFrame) -> pl.DataFrame:
    """Return what a search of whole rows found, with CHUNK."""
    return found.with_columns(pl.lit(None, dtype=CHUNK_TYPE).alias(CHUNK))


@dataclass
class _Search:
    """One search of both indexes. Fields, which may be long, are read of the best rows."""

    main: Index
    chunks: Index
    vector: Sequence[float]
    limit: int
    where: Sequence[Condition]
    columns: Sequence[str]
    _read: list[pl.DataFrame] = field(default_factory=list)
    _stale: set[tuple[str, int]] = field(default_factory=set)

    def ask(self) -> _Asked:
        most = min(self.limit * _CHUNKS_A_ROW, _MOST)
        with threads(1) as beside:
            asked = beside.submit(self._near, most)
            own = self._own()
            near = asked.result()
        best = self._best(own, near)
        # Rows that are found by their own vectors are there already. So chunks are asked for until
        # the last of them is worse than the last row of as many as are wanted.
        while near.height == most < _MOST and not self._enough(best, near):
            most = min(most * _MORE, _MOST)
            near = self._near(most)
            best = self._best(own, near)
        return _Asked(self._told(best), frozenset(self._stale))

    def _own(self) -> pl.DataFrame:
        """Return what the rows' own vectors find: KEY, VERSION and SCORE."""
        hashes = (ROW_HASH, TEXT_HASH)
        found = self.main.search(self.vector, limit=self.limit, where=self.where, columns=hashes)
        return found.select(KEY, versions(found), SCORE)

    def _near(self, most: int) -> pl.DataFrame:
        """Return the nearest chunks: KEY (of the row), VERSION, their places and SCORE."""
        where = asked_of_chunks(self.where, self.main.schema)
        place = (FIELD, START, END)
        found = self.chunks.search(self.vector, limit=most, where=where, columns=place)
        near = pl.concat([parsed(found[KEY]), found.select(*place, SCORE)], how="horizontal")
        return near.drop_nulls([KEY, VERSION, ORDINAL])

    def _enough(self, best: pl.DataFrame, near: pl.DataFrame) -> bool:
        worst = near.select(pl.col(SCORE).min()).item()
        return best.height >= self.limit and bool(best[SCORE][self.limit - 1] >= worst)

    def _best(self, own: pl.DataFrame, near: pl.DataFrame) -> pl.DataFrame:
        """Return the best rows with their fields, SCORE and the place of a chunk, or nulls."""
        chunk = near.sort(SCORE, ORDINAL, descending=[True, False]).unique(
            [KEY, VERSION], keep="first"
        )
        alone = own.join(chunk, on=[KEY, VERSION], how="anti")
        found = pl.concat([chunk, alone], how="diagonal").sort(SCORE, KEY, descending=[True, False])
        keys = found.select(KEY, SCORE).unique(KEY, keep="first", maintain_order=True)
        taken = self.limit
        while True:
            some = keys.head(taken)
            rows = self._rows(
                found.join(some, on=KEY, how="semi"), own.join(some, on=KEY, how="semi")
            )
            # Of a row that was replaced, or fails a condition, less counts than was looked at.
            bar = keys[SCORE][taken] if taken < keys.height else -2.0
            if taken >= keys.height or int((rows[SCORE] >= bar).sum()) >= self.limit:
                return rows.head(self.limit)
            taken *= 2

    def _rows(self, found: pl.DataFrame, own: pl.DataFrame) -> pl.DataFrame:
        """Return one line for each of these rows that is there, and for which all holds.

        `own` are those of them that their own vectors found.
        """
        now = self._now(found[KEY].unique(maintain_order=True))
        same = found.join(now, on=[KEY, VERSION])
        # A row that is gone altogether was deleted, and there is nothing to ask again for.
        stale = found.join(now, on=[KEY, VERSION], how="anti").join(now, on=KEY, how="semi")
        self._stale.update(stale.select(KEY, VERSION).iter_rows())
        cut = pl.col(ORDINAL).is_not_null()
        checked = checked_on_rows(self.where, self.main.schema)
        kept = pl.concat([holding(same.filter(cut), checked, self.main.schema), same.filter(~cut)])
        # Its own vector was found, so no search may miss the row that it is now. A chunk of what it
        # was is not shown of it.
        replaced = own.join(kept, on=KEY, how="anti").drop(VERSION)
        shown = pl.concat([kept, replaced.join(now, on=KEY)], how="diagonal")
        ranked = shown.sort(SCORE, KEY, descending=[True, False])
        # Two objects of a key are left by a killed writer; either is the row.
        return ranked.unique(KEY, keep="first", maintain_order=True)

    def _now(self, keys: pl.Series) -> pl.DataFrame:
        """Return KEY, VERSION and what is told or checked of rows, each of which is read once."""
        checked = [each.field for each in checked_on_rows(self.where, self.main.schema)]
        told = list(dict.fromkeys([*self.columns, *checked]))
        known = {key for frame in self._read for key in frame[KEY]}
        new = [key for key in keys if key not in known]
        if new or not self._read:
            also = [name for name in told if name not in (ROW_HASH, TEXT_HASH)]
            rows = self.main.fetch(new, vectors=False, also=also)
            self._read.append(rows.select(KEY, versions(rows), *told))
        return pl.concat(self._read)

    def _told(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return KEY, SCORE, the columns and CHUNK of the best rows."""
        first = self._first(rows.filter(pl.col(ORDINAL).is_null()))
        placed = rows.join(
            first, on=[KEY, VERSION], how="left", maintain_order="left", suffix=_AT_0
        )
        field, start, end = (pl.coalesce(name, name + _AT_0) for name in (FIELD, START, END))
        told = pl.struct(
            field.alias("field"),
            start.alias("start"),
            end.alias("end"),
            pl.col(SCORE).alias("score"),
        )
        chunk = pl.when(field.is_not_null()).then(told).alias(CHUNK)
        return placed.select(KEY, SCORE, *self.columns, chunk)

    def _first(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the first chunks of rows that only their own vectors found, where they are cut."""
        asked = rows.select(KEY, VERSION, pl.lit(0, dtype=pl.UInt32).alias(ORDINAL))
        found = self.chunks.fetch(
            chunk_keys(asked).to_list(), vectors=False, also=(FIELD, START, END)
        )
        told = pl.concat([parsed(found[KEY]), found.select(FIELD, START, END)], how="horizontal")
        return told.select(KEY, VERSION, FIELD, START, END).unique([KEY, VERSION])
