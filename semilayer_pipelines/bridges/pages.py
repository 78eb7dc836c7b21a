"""Rows of a table, page by page, past those that the database cannot read.

A view may divide by zero, cast a text that is no number, or hold bytes that are no text: then the
database refuses the statement as a whole. It is asked again for halves until the rows at fault are
alone; they are named by their keys, which are read by themselves. Only what a row's values bring
about is halved, so an outage costs the one statement that met it.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from semilayer_pipelines.bridges import condition
from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.collected import Collected, nothing
from semilayer_pipelines.bridges.cursors import encode, shown_key
from semilayer_pipelines.bridges.database import Computed, Fetched, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.protocol import PAGE_BYTES, Selection, SourcePage
from semilayer_pipelines.bridges.reader import Reader
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.errors import SourceRefused

__all__ = ["Pages"]


class Pages:
    """Reads the rows of one source's tables."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._db = reader.db
        self._catalogue = reader.catalogue

    def read(
        self,
        selection: Selection,
        order: tuple[SourceColumn, ...],
        conditions: Sequence[Sql | None],
        limit: int,
        *,
        shard: tuple[Computed, ...] = (),
        told: tuple[Computed, ...] = (),
        rows: Sql | None = None,
    ) -> SourcePage:
        """Read up to `limit` rows in the order of `order`.

        `rows` is what to read them of, by default the table with what it joins.
        `told` says which of them `where` leaves out (`condition.told`): those are named and count
        for the limit. Without it the conditions leave them out.
        """
        columns = self._catalogue.columns(selection)
        rows = rows or self._catalogue.rows(selection)
        # One row more than asked for tells whether anything follows.
        tail = st.tail(rows, order, conditions, limit + 1)
        try:
            fetched = self._reader.read_rows(
                selection, Query(columns, order, selection.key, tail, limit, (*shard, *told))
            )
        except ValueRefused:
            return self._around(
                selection, order, conditions, limit, shard=shard, told=told, source=rows
            )
        last = None if fetched.last is None else encode(fetched.last)
        frame, outside = condition.apart(fetched.frame, selection.key)
        return SourcePage(frame, last if fetched.more else None, last, outside=outside)

    def _around(
        self,
        selection: Selection,
        order: tuple[SourceColumn, ...],
        conditions: Sequence[Sql | None],
        limit: int,
        *,
        shard: tuple[Computed, ...],
        told: tuple[Computed, ...],
        source: Sql,
    ) -> SourcePage:
        """Read the same page past the rows that the database refuses."""
        keys = self._keys(selection, order, conditions, limit, told, source)
        rows = keys.frame.height
        _, outside = condition.apart(keys.frame, selection.key)
        texts = key_texts(keys.frame, selection.key)
        columns = self._catalogue.columns(selection)
        # What is wrong with a row that is left out is nobody's business.
        conditions = [*conditions, condition.holds(self._db, selection) if told else None]
        collected = Collected([nothing(self._reader, selection, shard)])
        waiting = [(0, rows)] if rows else []
        end_at: Fetched | None = None
        while waiting and end_at is None:
            begin, end = waiting.pop()
            after = st.after(self._db, order, keys.position(begin - 1)) if begin else None
            upto = st.upto(self._db, order, keys.position(end - 1))
            tail = st.tail(source, order, [*conditions, after, upto], None)
            try:
                part = self._reader.read_rows(
                    selection, Query(columns, order, selection.key, tail, None, shard)
                )
                collected.frames.append(part.frame)
                if part.more or (waiting and collected.weigh() >= PAGE_BYTES):
                    end_at = part
            except ValueRefused as refusal:
                if end - begin == 1:
                    collected.refuse([texts[begin]], refusal, source=self._reader.name)
                    continue
                middle = (begin + end) // 2
                waiting += [(middle, end), (begin, middle)]
        frame = pl.concat(collected.frames, how="diagonal")
        last = (end_at or keys).last
        cursor = None if last is None else encode(last)
        more = keys.more or end_at is not None
        return SourcePage(frame, cursor if more else None, cursor, collected.refused, outside)

    def _keys(
        self,
        selection: Selection,
        order: tuple[SourceColumn, ...],
        conditions: Sequence[Sql | None],
        limit: int,
        told: tuple[Computed, ...],
        source: Sql,
    ) -> Fetched:
        """Read just the columns of order and key; raises `SourceRefused` when even these fail."""
        columns = tuple(dict.fromkeys((*order, *self._catalogue.key(selection))))

        def read(tail: Sql, rows: int) -> Fetched:
            return self._reader.read(
                selection, Query(columns, order, selection.key, tail, rows, told)
            )

        def position(offset: int) -> str | None:
            tail = st.tail(source, order, conditions, 1) + Sql(f" OFFSET {offset}")
            try:
                found = read(tail, 1).last
            except ValueRefused:
                return None
            return None if found is None else shown_key(found)

        try:
            return read(st.tail(source, order, conditions, limit + 1), limit)
        except ValueRefused as refusal:
            said = refusal.said
        good, bad = 0, limit + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                read(st.tail(source, order, conditions, middle), middle)
                good = middle
            except ValueRefused as refusal:
                bad, said = middle, refusal.said
        before = position(good - 1) if good else None
        names = ", ".join(column.column.name for column in columns)
        raise SourceRefused(
            f"source {self._reader.name!r} cannot even read {names} of a row of "
            f"{selection.table!r}, "
            f"between {before or 'the begin of the page'} and {position(good + 1) or 'the next'}: "
            f"{said}",
            cure="Correct that row: without its key it can be neither indexed nor passed over."
            + ("" if selection.where is None else " Or correct 'where', which fails for it."),
        )
