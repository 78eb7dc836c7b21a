"""The tables of a source as they were described once, and a check of the names a lens uses.

A name that does not exist is an error that says what does, never a filter or a column left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from semilayer_pipelines.bridges.database import Database, Described, SourceColumn, Sql
from semilayer_pipelines.bridges.followed import Followed
from semilayer_pipelines.bridges.joined import JoinedTable, joined_tables
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
        return self.described(selection.table)

    def described(self, name: str) -> Described:
        """Return a table as it was when it was last looked at."""
        if name not in self._described:
            self.look(name)
        return self._described[name]

    def joined(self, selection: Selection) -> tuple[JoinedTable, ...]:
        """Return the tables that the selection joins, as they stand in its statements."""
        return self._joined(selection, self.described)

    def rows(self, selection: Selection) -> Sql:
        """Return what stands behind FROM where the selection's columns are read."""
        joined = (f" LEFT JOIN {one.quoted} ON {one.on}" for one in self.joined(selection))
        return Sql("".join((self.table(selection).quoted, *joined)))

    def altered(self, selection: Selection) -> list[str]:
        """Return the selected columns that their tables have no more as they were described."""
        known = self._readable(selection, self.described)
        now = self._readable(selection, self._db.describe)
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
        readable = self._readable(selection, self.described)
        return tuple(self._found(selection, readable, name, "fields") for name in names)

    def tracked(self, selection: Selection, names: str | Sequence[str]) -> Followed:
        """Return the change-tracking column, or several of which the first that is set counts.

        With what is tracked of the tables that the selection joins.
        """
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
        joined = tuple((t, Tracked(t.tracked)) for t in self.joined(selection) if t.tracked)
        return Followed(self._db, Tracked(columns), joined)

    def _joined(
        self, selection: Selection, describe: Callable[[str], Described]
    ) -> tuple[JoinedTable, ...]:
        if not selection.joins:
            return ()
        return joined_tables(self._name, describe(selection.table), selection, describe)

    def _readable(
        self, selection: Selection, describe: Callable[[str], Described]
    ) -> Mapping[str, SourceColumn]:
        """Return the columns of the table and of those that it joins, as a selection calls them."""
        found = describe(selection.table).columns
        for one in self._joined(selection, describe):
            for name, column in one.columns.items():
                called = one.join.column(name)
                named = replace(column, column=replace(column.column, name=called, nullable=True))
                found = {**found, called: named}
        return found

    def _column(self, selection: Selection, name: str, role: str) -> SourceColumn:
        return self._found(selection, self.table(selection).columns, name, role)

    def _found(
        self, selection: Selection, columns: Mapping[str, SourceColumn], name: str, role: str
    ) -> SourceColumn:
        if name not in columns:
            raise SchemaMismatch(
                f"source {self._name!r}: {selection.table!r} has no column {name!r} "
                f"({role}){nearest(name, columns)}.",
                cure=f"Columns: {', '.join(columns)}.",
            )
        return columns[name]
