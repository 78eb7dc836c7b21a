"""The value that tells when a row changed that joins others: the latest of all of theirs.

A row is changed when its own tracked value moved or that of a joined row did. No index has the
latest of values of several tables, so a walk begins with the keys of the rows that moved, which
each table's own index gives. Where a value is NULL the others count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.database import Database, SourceColumn, Sql
from semilayer_pipelines.bridges.joined import JoinedTable
from semilayer_pipelines.bridges.tracked import VALUE, Tracked

__all__ = ["Followed"]


@dataclass(frozen=True)
class Followed:
    """What a table tracks itself, and what is tracked of the tables that it joins."""

    db: Database
    own: Tracked
    joined: tuple[tuple[JoinedTable, Tracked], ...] = ()

    @property
    def columns(self) -> tuple[SourceColumn, ...]:
        """All columns that are looked at."""
        return sum((tracked.columns for tracked in self._all), ())

    @property
    def value(self) -> SourceColumn:
        """The value of a row, as a column to select, compare and sort by."""
        if not self.joined:
            return self.read(self.own.value)
        values = [tracked.if_set for tracked in self._all]
        first = self.own.columns[0]
        nullable = self.own.missing() is not None
        found = replace(
            first.called(self._latest([value.quoted for value in values])),
            column=replace(first.column, name=VALUE, nullable=nullable),
            order=self._latest([value.order for value in values]),
        )
        return self.read(found)

    def read(self, value: SourceColumn) -> SourceColumn:
        """Return how a value of the columns is read: as a text where their types are several.

        Of a `timestamp` and a `timestamptz`, say, the database makes one type of its own choice.
        """
        types = {(column.dtype, column.lowest == 0) for column in self.columns}
        return value if len(types) == 1 else self.db.as_text(value)

    def parts(self) -> list[tuple[SourceColumn, Sql | None]]:
        """Return each column with the condition that it is the first of its table that is set."""
        return [part for tracked in self._all for part in tracked.parts()]

    def untracked(self) -> list[Sql]:
        """Return where nothing is set in a row of the table itself, or in one that it joins."""
        found: list[Sql] = []
        missing = self.own.missing()
        if missing is not None:
            found.append(missing)
        for table, tracked in self.joined:
            missing = tracked.missing()
            if missing is not None:
                found.append(st.all_of([_there(table), missing]))
        return found

    def having(self, condition: Callable[[SourceColumn], Sql]) -> list[Sql]:
        """Return for each table that the condition holds for its first column that is set.

        The first is about the table itself, then come those that it joins.
        """
        return [tracked.having(condition) for tracked in self._all]

    @property
    def _all(self) -> list[Tracked]:
        return [self.own, *(tracked for _, tracked in self.joined)]

    def _latest(self, values: list[str]) -> str:
        # In MariaDB and SQLite the largest of values is NULL when one of them is.
        alike = [
            f"COALESCE({', '.join([value, *values[:i], *values[i + 1 :]])})"
            for i, value in enumerate(values)
        ]
        return self.db.latest(alike)


def _there(table: JoinedTable) -> Sql:
    return Sql(f"{table.matched.quoted} IS NOT NULL")
