"""Rows of a table by what they join: which of them have one of some rows of another table.

A change of a joined row is told by its own key. The rows of the lens that show it have other keys,
and there may be very many of them, so they come in pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from semilayer_pipelines.bridges import condition
from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.database import Query, SourceColumn, Sql
from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.ids import parse_ids, portions
from semilayer_pipelines.bridges.joined import JoinedTable
from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.bridges.reader import Reader
from semilayer_pipelines.bridges.row_key import key_texts

__all__ = ["Parents"]

_VALUES_A_STATEMENT = 500
"""As for a look-up of rows."""

_EXACT = ("integer", "uuid", "datetime", "date", "binary")
"""Kinds whose values every collation compares alike."""


class Parents:
    """Finds the rows of one source's tables that join certain rows."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._db = reader.db
        self._catalogue = reader.catalogue

    def of(
        self, selection: Selection, join: str, ids: Sequence[str], at_once: int
    ) -> Iterator[tuple[str, ...]]:
        """Yield key texts, up to `at_once` at a time; a row once for each statement that has it."""
        asked = selection.joins
        (wanted_join,) = (one for one in asked if one.name == join)
        child = self._catalogue.described(wanted_join.table)
        names = child.table.key or tuple(name for _, name in wanted_join.on)
        key = tuple(child.columns[name] for name in names)
        # What stands in the statement are the joined table's key columns, read or not.
        read = tuple(wanted_join.column(name) for name in names)
        selection = replace(selection, columns=(*selection.key, *read), joins=(wanted_join,))
        (table,) = self._catalogue.joined(selection)
        wanted, _ = parse_ids(self._db, key, ids)
        waiting = portions(wanted, wanted, _VALUES_A_STATEMENT)
        while waiting:
            some = waiting.pop(0)
            values = [value for id in some for value in wanted[id]]
            try:
                for rows, compared in self._joinings(selection, table, names):
                    among = st.one_of(self._db, compared, values)
                    yield from self._pages(selection, rows, among, at_once)
            except ValueRefused:
                middle = len(some) // 2
                if middle:
                    waiting[:0] = [some[:middle], some[middle:]]
                elif selection.where is not None:
                    # It may be the condition, for one of the rows: then all of them are told of.
                    yield from self.of(
                        replace(selection, where=None, joins=asked), join, some, at_once
                    )
                # Else an id that is well formed for us and not for the database names no row.

    def _pages(
        self, selection: Selection, rows: Sql, among: Sql, at_once: int
    ) -> Iterator[tuple[str, ...]]:
        key = self._catalogue.key(selection)
        conditions = [st.complete(key), condition.holds(self._db, selection), among]
        after: Sql | None = None
        while True:
            tail = st.tail(rows, key, [*conditions, after], at_once + 1)
            found = self._reader.read(selection, Query(key, key, selection.key, tail, at_once))
            if found.frame.height:
                yield tuple(key_texts(found.frame, selection.key).to_list())
            if not found.more or found.last is None:
                return
            after = st.after(self._db, key, found.last)

    def _joinings(
        self, selection: Selection, table: JoinedTable, names: Sequence[str]
    ) -> Iterator[tuple[Sql, tuple[SourceColumn, ...]]]:
        """Yield what to read, and what to compare with the joined table's key.

        Rows say themselves which row they join, also when that is gone. The joined table compares
        by its own collation, which may find more of them.
        """
        base = self._catalogue.table(selection)
        ours = {theirs: base.columns[own] for own, theirs in table.join.on}
        theirs = tuple(table.columns[name] for name in names)
        told = set(ours) == set(names)
        if told:
            yield Sql(base.quoted), tuple(ours[name] for name in names)
        if not told or any(column.column.kind not in _EXACT for column in theirs):
            yield Sql(f"{base.quoted} JOIN {table.quoted} ON {table.on}"), theirs
