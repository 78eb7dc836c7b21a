"""Rows of a table by their ids, past those that the database cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import polars as pl

from semilayer_pipelines.bridges import condition
from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.collected import Collected, nothing
from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Computed, Fetched, Query, SourceColumn
from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.ids import portions
from semilayer_pipelines.bridges.protocol import PAGE_BYTES, LookedUp, Selection
from semilayer_pipelines.bridges.reader import Reader
from semilayer_pipelines.bridges.row_key import key_texts

__all__ = ["Lookup"]

# Below MariaDB's limit of 1,000 listed values. In SQLite an id may stand for several.
_VALUES_A_STATEMENT = 500


class Lookup:
    """Reads rows of one source's tables by id."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._db = reader.db
        self._catalogue = reader.catalogue

    def read(
        self,
        selection: Selection,
        wanted: dict[str, list[tuple[Scalar, ...]]],
        shard: tuple[Computed, ...],
    ) -> LookedUp:
        """Read the rows that have one of the key values; `wanted` gives them by id."""
        computed = (*shard, *condition.told(self._db, selection))
        collected = Collected()
        waiting = portions(wanted, wanted, _VALUES_A_STATEMENT)[::-1]
        while waiting and collected.weigh() < PAGE_BYTES:
            ids = waiting.pop()
            values = [value for name in ids for value in wanted[name]]
            columns = self._catalogue.columns(selection)
            middle = len(ids) // 2
            try:
                found = self._having(selection, columns, values, computed)
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
        frames = collected.frames or [nothing(self._reader, selection, computed)]
        # A column of unfit values is only there where there are such values.
        frame = pl.concat(frames, how="diagonal")
        if len(frames) > 1:
            # Under a collation that ignores case, two chunks may have found the same row.
            frame = frame.unique(selection.key, keep="first", maintain_order=True)
        left = tuple(id for ids in reversed(waiting) for id in ids)
        frame, outside = condition.apart(frame, selection.key)
        outside = tuple(dict.fromkeys((*outside, *collected.outside)))
        return LookedUp(frame, collected.malformed, collected.refused, left, outside)

    def _name_fault(
        self,
        selection: Selection,
        id: str,
        values: Sequence[tuple[Scalar, ...]],
        refusal: ValueRefused,
        collected: Collected,
    ) -> None:
        """Find out whether the id is at fault, or the row that it names."""
        key = self._catalogue.key(selection)
        try:
            keys = self._having(selection, key, values, ())
        except ValueRefused:
            collected.malformed[id] = refusal.message
            return
        with suppress(ValueRefused):  # by the condition itself, which then leaves nothing out
            keys = self._having(selection, key, values, condition.told(self._db, selection))
        there, outside = condition.apart(keys.frame, selection.key)
        collected.outside += outside
        collected.refuse(key_texts(there, selection.key), refusal, source=self._reader.name)

    def _having(
        self,
        selection: Selection,
        columns: tuple[SourceColumn, ...],
        values: Sequence[tuple[Scalar, ...]],
        computed: tuple[Computed, ...],
    ) -> Fetched:
        wanted = st.one_of(self._db, self._catalogue.key(selection), values)
        tail = st.tail(self._catalogue.rows(selection), (), [wanted], None)
        return self._reader.read_rows(
            selection, Query(columns, (), selection.key, tail, None, computed)
        )
