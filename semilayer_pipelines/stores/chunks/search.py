"""Rows that are near a vector: by their own vectors, and by those of their chunks.

Both indexes are asked. A chunk counts only while its version is that of its row's object, so a
search in the middle of a write shows the row of before or of after. When something was replaced in
between, both are asked again: what came is there before what it replaces goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.stores.chunks.conditions import (
    asked_of_chunks,
    checked_on_rows,
    holding,
)
from semilayer_pipelines.stores.chunks.protocol import CHUNK, END, FIELD, ORDINAL, START
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

_ATTEMPTS = 3
"""How often both indexes are asked while rows are replaced in between."""

_PLACE = (ORDINAL, FIELD, START, END)


@dataclass(frozen=True)
class _Asked:
    """What one search of both indexes found, and what shows that rows were replaced meanwhile.

    `stale` are chunks of other versions than their rows'; `changed` are keys of rows that were cut.
    """

    rows: pl.DataFrame
    stale: frozenset[tuple[str, int]]
    changed: frozenset[str]

    @property
    def replaced(self) -> bool:
        return bool(self.stale or self.changed)


def nearest_rows(
    main: Index,
    chunks: Index,
    vector: Sequence[float],
    *,
    limit: int,
    where: Sequence[Condition],
) -> pl.DataFrame:
    """Return the nearest rows: KEY, SCORE, the fields and CHUNK, the best first.

    A row that was cut is as near as the nearest of its chunks, which CHUNK tells.
    """
    search = _Search(main, chunks, vector, limit, where)
    asked = search.ask()
    for _ in range(_ATTEMPTS - 1):
        if not asked.replaced:
            break
        before, asked = asked, search.ask()
        if asked.stale == before.stale and not asked.changed:
            break  # what a dead writer left
    return asked.rows


def with_no_chunk(found: pl.DataFrame) -> pl.DataFrame:
    """Return what a search of whole rows found, with CHUNK."""
    return found.with_columns(pl.lit(None, dtype=CHUNK_TYPE).alias(CHUNK))


@dataclass(frozen=True)
class _Search:
    main: Index
    chunks: Index
    vector: Sequence[float]
    limit: int
    where: Sequence[Condition]

    def ask(self) -> _Asked:
        most = min(self.limit * _CHUNKS_A_ROW, _MOST)
        with threads(1) as beside:
            asked = beside.submit(self._chunks, most)
            own = self.main.search(self.vector, limit=self.limit, where=self.where)
            near = asked.result()
        # Rows that are found by their own vectors are there already. So chunks are asked for until
        # the last of them is worse than the last row of as many as are wanted.
        while near.height == most < _MOST and not self._enough(own, near):
            most = min(most * _MORE, _MOST)
            near = self._chunks(most)
        near = near.drop_nulls([KEY, VERSION, ORDINAL])
        fields = [field.name for field in self.main.schema.fields]
        keys = list(dict.fromkeys([*own[KEY], *near[KEY]]))
        now = self.main.fetch(keys, vectors=False, also=fields)
        now = now.with_columns(versions(now)).drop(ROW_HASH, TEXT_HASH)
        # Two objects of a key are left by a killed writer; a search of whole rows shows the newer.
        current = near.join(now.select(KEY, VERSION), on=[KEY, VERSION], how="semi")
        # A row that is gone altogether was deleted, and there is nothing to ask again for.
        stale = near.join(current, on=[KEY, VERSION], how="anti").join(now, on=KEY, how="semi")
        places = pl.concat(
            [current.select(KEY, VERSION, *_PLACE, SCORE), self._first(own, now, current)]
        )
        best = places.sort(SCORE, ORDINAL, descending=[True, False]).unique(
            KEY, keep="first", maintain_order=True
        )
        split = self._told(best, now)
        whole = own.filter(~pl.col(KEY).is_in(best[KEY].implode()))
        ranked = pl.concat([with_no_chunk(whole), split.select(with_no_chunk(own).columns)])
        ranked = ranked.sort(SCORE, KEY, descending=[True, False]).head(self.limit)
        left = stale.select(KEY, VERSION).iter_rows()
        return _Asked(ranked, frozenset(left), self._changed(own, now, best))

    def _chunks(self, most: int) -> pl.DataFrame:
        """Return the nearest chunks: KEY (of the row), VERSION, their places and SCORE."""
        where = asked_of_chunks(self.where, self.main.schema)
        found = self.chunks.search(self.vector, limit=most, where=where)
        return pl.concat(
            [parsed(found[KEY]), found.select(FIELD, START, END, SCORE)], how="horizontal"
        )

    def _enough(self, own: pl.DataFrame, near: pl.DataFrame) -> bool:
        best = (
            pl.concat([own.select(KEY, SCORE), self._matching(near).select(KEY, SCORE)])
            .group_by(KEY)
            .agg(pl.col(SCORE).max())
            .sort(SCORE, descending=True)
        )
        worst = near.select(pl.col(SCORE).min()).item()
        return best.height >= self.limit and bool(best[SCORE][self.limit - 1] >= worst)

    def _matching(self, near: pl.DataFrame) -> pl.DataFrame:
        """Return the chunks of rows for which those conditions hold that no chunk was asked."""
        checked = checked_on_rows(self.where, self.main.schema)
        if not checked:
            return near
        fields = list({each.field for each in checked})
        rows = self.main.fetch(
            near[KEY].drop_nulls().unique().to_list(), vectors=False, also=fields
        )
        return near.join(holding(rows, checked, self.main.schema), on=KEY, how="semi")

    def _first(self, own: pl.DataFrame, now: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
        """Return the first chunks of rows that only their own vectors found, with their scores."""
        alone = own.select(KEY, SCORE).join(current, on=KEY, how="anti")
        named = alone.join(now.select(KEY, VERSION), on=KEY)
        asked = named.with_columns(pl.lit(0, dtype=pl.UInt32).alias(ORDINAL))
        found = self.chunks.fetch(
            chunk_keys(asked).to_list(), vectors=False, also=(FIELD, START, END)
        )
        told = pl.concat([parsed(found[KEY]), found.select(FIELD, START, END)], how="horizontal")
        joined = told.join(named, on=[KEY, VERSION]).unique([KEY, VERSION])
        return joined.select(KEY, VERSION, *_PLACE, SCORE)

    def _told(self, best: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
        """Return rows that were cut with their fields and CHUNK, where all conditions hold."""
        rows = best.join(now, on=[KEY, VERSION]).unique(KEY, keep="any", maintain_order=True)
        rows = holding(rows, checked_on_rows(self.where, self.main.schema), self.main.schema)
        told = [
            {
                "field": row[FIELD],
                "start": row[START],
                "end": row[END],
                "score": row[SCORE],
            }
            for row in rows.iter_rows(named=True)  # a few times the limit
        ]
        return rows.with_columns(pl.Series(CHUNK, told, dtype=CHUNK_TYPE))

    def _changed(self, own: pl.DataFrame, now: pl.DataFrame, best: pl.DataFrame) -> frozenset[str]:
        """Return the rows that were cut and are others by now than their own vectors found."""
        cut = own.join(best, on=KEY, how="semi")
        names = [field.name for field in self.main.schema.fields if not field.array]
        other = cut.join(now, on=[KEY, *names], how="anti", nulls_equal=True)
        return frozenset(other[KEY].to_list())
