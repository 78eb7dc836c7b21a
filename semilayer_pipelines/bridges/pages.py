"""Rows of a table, page by page and by id, past those that the database cannot read.

A view may divide by zero, cast a text that is no number, or hold bytes that are no text: then the
database refuses the statement as a whole. It is asked again for halves until the rows at fault are
alone; they are named by their keys, which are read by themselves. Only what a row's values bring
about is halved, so an outage costs the one statement that met it.

Rows that do not fit the table's description are a reason to look at the table again: it may have
been altered since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.catalogue import Catalogue
from semilayer_pipelines.bridges.cursors import Scalar, encode, shown_key
from semilayer_pipelines.bridges.database import Database, Fetched, Query, SourceColumn, Sql
from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.protocol import PAGE_BYTES, LookedUp, Selection, SourcePage
from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.bridges.unfit import RowsDoNotFit, unfit_columns
from semilayer_pipelines.errors import SourceRefused, TableAltered

__all__ = ["Pages"]

MANY_REFUSED = 100
"""More refused rows than this, and more than half, are no fault of single rows."""

# Below SQLite's limit of 1,000 nested conditions and MariaDB's of 1,000 listed values.
_IDS_A_STATEMENT = 500


@dataclass
class _Collected:
    """The rows read so far, and the key texts of those that cannot be read."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    malformed: dict[str, str] = field(default_factory=dict)

    def weigh(self) -> int:
        """Return the bytes of the frames."""
        return sum(int(frame.estimated_size()) for frame in self.frames)

    def refuse(self, keys: Iterable[str], refusal: ValueRefused, *, source: str) -> None:
        """Set rows aside; raises `SourceRefused` when that is what becomes of most."""
        self.refused |= dict.fromkeys(keys, f"the source cannot read it: {refusal.said}")
        read = sum(frame.height for frame in self.frames)
        if len(self.refused) > MANY_REFUSED and len(self.refused) > read:
            raise SourceRefused(
                f"source {source!r} cannot read most of the rows; the first, "
                f"{next(iter(self.refused))}: {refusal.said}",
                cure="Correct the view or the cast: so many rows are not at fault themselves.",
            )


class Pages:
    """Reads the rows of one source's tables; `name` is the source's in messages."""

    def __init__(self, db: Database, catalogue: Catalogue, name: str) -> None:
        self._db = db
        self._catalogue = catalogue
        self._name = name

    def read(
        self,
        selection: Selection,
        order: tuple[SourceColumn, ...],
        conditions: Sequence[Sql | None],
        limit: int,
        *,
        shard: Sql | None,
    ) -> SourcePage:
        """Read up to `limit` rows in the order of `order`."""
        columns = self._catalogue.columns(selection)
        # One row more than asked for tells whether anything follows.
        tail = self._tail(selection, order, conditions, limit + 1)
        try:
            fetched = self._read(
                selection, Query(columns, order, selection.key, tail, limit, shard)
            )
        except ValueRefused:
            return self._around(selection, order, conditions, limit, shard=shard)
        last = None if fetched.last is None else encode(fetched.last)
        return SourcePage(fetched.frame, last if fetched.more else None, last)

    def _around(
        self,
        selection: Selection,
        order: tuple[SourceColumn, ...],
        conditions: Sequence[Sql | None],
        limit: int,
        *,
        shard: Sql | None,
    ) -> SourcePage:
        """Read the same page past the rows that the database refuses."""
        keys = self._keys(selection, order, conditions, limit)
        rows = keys.frame.height
        texts = key_texts(keys.frame, selection.key)
        columns = self._catalogue.columns(selection)
        collected = _Collected([self._nothing(selection, shard)])
        waiting = [(0, rows)] if rows else []
        end_at: Fetched | None = None
        while waiting and end_at is None:
            begin, end = waiting.pop()
            after = st.after(self._db, order, keys.position(begin - 1)) if begin else None
            upto = st.upto(self._db, order, keys.position(end - 1))
            tail = self._tail(selection, order, [*conditions, after, upto], None)
            try:
                part = self._read(
                    selection, Query(columns, order, selection.key, tail, None, shard)
                )
                collected.frames.append(part.frame)
                if part.more or (waiting and collected.weigh() >= PAGE_BYTES):
                    end_at = part
            except ValueRefused as refusal:
                if end - begin == 1:
                    collected.refuse([texts[begin]], refusal, source=self._name)
                    continue
                middle = (begin + end) // 2
                waiting += [(middle, end), (begin, middle)]
        frame = pl.concat(collected.frames, how="diagonal")
        last = (end_at or keys).last
        cursor = None if last is None else encode(last)
        more = keys.more or end_at is not None
        return SourcePage(frame, cursor if more else None, cursor, collected.refused)

    def _keys(
        self,
        selection: Selection,
        order: tuple[SourceColumn, ...],
        conditions: Sequence[Sql | None],
        limit: int,
    ) -> Fetched:
        """Read just the columns of order and key; raises `SourceRefused` when even these fail."""
        columns = tuple(dict.fromkeys((*order, *self._catalogue.key(selection))))

        def read(tail: Sql, rows: int) -> Fetched:
            return self._read(selection, Query(columns, order, selection.key, tail, rows, None))

        def position(offset: int) -> str | None:
            tail = self._tail(selection, order, conditions, 1) + Sql(f" OFFSET {offset}")
            try:
                found = read(tail, 1).last
            except ValueRefused:
                return None
            return None if found is None else shown_key(found)

        try:
            return read(self._tail(selection, order, conditions, limit + 1), limit)
        except ValueRefused as refusal:
            said = refusal.said
        good, bad = 0, limit + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                read(self._tail(selection, order, conditions, middle), middle)
                good = middle
            except ValueRefused as refusal:
                bad, said = middle, refusal.said
        before = position(good - 1) if good else None
        names = ", ".join(column.column.name for column in columns)
        raise SourceRefused(
            f"source {self._name!r} cannot even read {names} of a row of {selection.table!r}, "
            f"between {before or 'the begin of the page'} and {position(good + 1) or 'the next'}: "
            f"{said}",
            cure="Correct that row: without its key it can be neither indexed nor passed over.",
        )

    def look_up(
        self, selection: Selection, wanted: dict[str, list[tuple[Scalar, ...]]], shard: Sql | None
    ) -> LookedUp:
        """Read the rows that have one of the key values; `wanted` gives them by id."""
        collected = _Collected()
        names = list(wanted)
        waiting = [
            names[start : start + _IDS_A_STATEMENT]
            for start in range(0, len(names), _IDS_A_STATEMENT)
        ]
        waiting.reverse()
        while waiting and collected.weigh() < PAGE_BYTES:
            ids = waiting.pop()
            values = [value for name in ids for value in wanted[name]]
            columns = self._catalogue.columns(selection)
            middle = len(ids) // 2
            try:
                found = self._having(selection, columns, values, shard)
                if found.more and len(ids) > 1:
                    # There is no telling which ids the rows are of that came before it was full.
                    waiting += [ids[middle:], ids[:middle]]
                else:
                    collected.frames.append(found.frame)
            except ValueRefused as refusal:
                # An id that is well formed for us and not for the database (no such enum value, no
                # such character), or a row that it cannot read: halved until it is alone.
                if len(ids) > 1:
                    waiting += [ids[middle:], ids[:middle]]
                else:
                    self._name_fault(selection, ids[0], values, refusal, collected)
        frames = collected.frames or [self._nothing(selection, shard)]
        # A column of unfit values is only there where there are such values.
        frame = pl.concat(frames, how="diagonal")
        if len(frames) > 1:
            # Under a collation that ignores case, two chunks may have found the same row.
            frame = frame.unique(selection.key, keep="first", maintain_order=True)
        left = tuple(id for ids in reversed(waiting) for id in ids)
        return LookedUp(frame, collected.malformed, collected.refused, left)

    def _name_fault(
        self,
        selection: Selection,
        id: str,
        values: Sequence[tuple[Scalar, ...]],
        refusal: ValueRefused,
        collected: _Collected,
    ) -> None:
        """Find out whether the id is at fault, or the row that it names."""
        try:
            keys = self._having(selection, self._catalogue.key(selection), values, None)
        except ValueRefused:
            collected.malformed[id] = refusal.message
            return
        collected.refuse(key_texts(keys.frame, selection.key), refusal, source=self._name)

    def _having(
        self,
        selection: Selection,
        columns: tuple[SourceColumn, ...],
        values: Sequence[tuple[Scalar, ...]],
        shard: Sql | None,
    ) -> Fetched:
        condition = st.one_of(self._db, self._catalogue.key(selection), values)
        tail = self._tail(selection, (), [condition], None)
        return self._read(selection, Query(columns, (), selection.key, tail, None, shard))

    def _read(self, selection: Selection, query: Query) -> Fetched:
        """Read; raises `TableAltered` when what comes does not fit, and was described before."""
        try:
            found = self._db.read(query)
        except RowsDoNotFit:
            self._refuse_altered(selection)
            raise
        if unfit_columns(found.frame.columns):
            self._refuse_altered(selection)
        return found

    def _refuse_altered(self, selection: Selection) -> None:
        altered = self._catalogue.altered(selection)
        if altered:
            raise TableAltered(
                f"source {self._name!r}: {selection.table!r} was altered while it was read "
                f"({', '.join(altered)}).",
                cure="It is read again, as it is now.",
            )

    def _nothing(self, selection: Selection, shard: Sql | None) -> pl.DataFrame:
        """Return no rows, with the columns of all."""
        tail = self._tail(selection, (), [Sql("1 = 0")], None)
        columns = self._catalogue.columns(selection)
        return self._read(selection, Query(columns, (), selection.key, tail, None, shard)).frame

    def _tail(
        self,
        selection: Selection,
        order: tuple[SourceColumn, ...],
        conditions: Sequence[Sql | None],
        limit: int | None,
    ) -> Sql:
        tail = Sql(f" FROM {self._catalogue.table(selection).quoted}") + st.both(conditions)
        if order:
            tail += st.order_by(order)
        return tail if limit is None else tail + Sql(f" LIMIT {limit}")
