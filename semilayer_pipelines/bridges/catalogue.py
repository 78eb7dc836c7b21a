"""The tables of a source as they were described once, and a check of the names a lens uses.

A name that does not exist is an error that says what does, never a filter or a column left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from semilayer_pipelines.bridges.database import Database, Described, SourceColumn
from semilayer_pipelines.bridges.protocol import (
    NO_KEYS,
    SHARD_COLUMN,
    UNTRACKABLE,
    Selection,
    Table,
)
from semilayer_pipelines.bridges.tracked import Tracked
from semilayer_pipelines.errors import SchemaMismatch, nearest

__all__ = ["Catalogue"]


class Catalogue:
    """The descriptions of one source's tables; every method raises `SchemaMismatch`."""

    def __init__(self, db: Database, name: str) -> None:
        self._db = db
        self._name = name
        self._described: dict[str, Described] = {}

    def look(self, name: str) -> Table:
        """Describe a table as it is now, and remember it."""
        self._described[name] = self._db.describe(name)
        return self._described[name].table

    def table(self, selection: Selection) -> Described:
        """Return the selection's table as it was when it was last looked at."""
        if selection.table not in self._described:
            self.look(selection.table)
        return self._described[selection.table]

    def altered(self, selection: Selection) -> list[str]:
        """Return the selected columns that the table has no more as they were described."""
        known = self.table(selection).columns
        now = self._db.describe(selection.table).columns
        names = dict.fromkeys((*selection.columns, *selection.key))
        return [name for name in names if now.get(name) != known.get(name)]

    def key(self, selection: Selection) -> tuple[SourceColumn, ...]:
        """Return the key columns, in key order."""
        if not selection.key:
            raise SchemaMismatch(
                f"source {self._name!r}: {selection.table!r} has no primary key.",
                cure="Name the columns that identify a row in 'primaryKey'.",
            )
        found = tuple(self._column(selection, name, "primaryKey") for name in selection.key)
        for column in found:
            if column.column.kind in NO_KEYS:
                raise SchemaMismatch(
                    f"source {self._name!r}: {selection.table}.{column.column.name} is "
                    f"{column.column.database_type}, which cannot be a key.",
                    cure="Name other columns in 'primaryKey'.",
                )
        return found

    def columns(self, selection: Selection) -> tuple[SourceColumn, ...]:
        """Return the selected columns, the key's in any case."""
        if SHARD_COLUMN in selection.columns:
            raise SchemaMismatch(
                f"source {self._name!r}: {selection.table!r} has a column {SHARD_COLUMN!r}, a name "
                "that is taken for the number of the shard.",
                cure="Read it through a view that names it otherwise.",
            )
        # A frame without its key could not be told apart from another's.
        names = dict.fromkeys((*selection.columns, *selection.key))
        return tuple(self._column(selection, name, "fields") for name in names)

    def tracked(self, selection: Selection, names: str | Sequence[str]) -> Tracked:
        """Return the change-tracking column, or several of which the first that is set counts."""
        wanted = (names,) if isinstance(names, str) else tuple(names)
        columns = tuple(self._column(selection, name, "changeTrackingColumn") for name in wanted)
        for column in (one.column for one in columns):
            if column.kind in UNTRACKABLE:
                raise SchemaMismatch(
                    f"source {self._name!r}: {selection.table}.{column.name} is "
                    f"{column.database_type}, which has no order that follows changes.",
                    cure="Track a time, a date, or a number or binary version that grows with "
                    "every change.",
                )
        return Tracked(columns)

    def _column(self, selection: Selection, name: str, role: str) -> SourceColumn:
        columns = self.table(selection).columns
        if name not in columns:
            raise SchemaMismatch(
                f"source {self._name!r}: {selection.table!r} has no column {name!r} "
                f"({role}){nearest(name, columns)}.",
                cure=f"Columns: {', '.join(columns)}.",
            )
        return columns[name]
