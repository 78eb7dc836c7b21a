"""The value that tells when a row changed: a column, or the first of several that is set.

Many tables leave `updated_at` empty until the first edit; `created_at` stands in for it. The value
is then a COALESCE, which no index has, so each question is asked of the columns one by one: a row
belongs to the first of them that is set: neither NULL nor what else stands for none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from semilayer_pipelines.bridges import statements as st
from semilayer_pipelines.bridges.database import SourceColumn, Sql

__all__ = ["VALUE", "Tracked"]

VALUE = "\0tracked"
"""Name of a value that no column of a table has."""


@dataclass(frozen=True)
class Tracked:
    """One or more columns of one type."""

    columns: tuple[SourceColumn, ...]

    @property
    def value(self) -> SourceColumn:
        """The first value that is set, as a column to select, compare and sort by."""
        return self.columns[0] if len(self.columns) == 1 else self.if_set

    @property
    def if_set(self) -> SourceColumn:
        """The same, and NULL also where only what stands for none is there."""
        first = self.columns[0]

        def of(expressions: list[str]) -> str:
            pairs = zip(self.columns, expressions, strict=True)
            values = [_if_set(*pair) for pair in pairs]
            return f"COALESCE({', '.join(values)})" if len(values) > 1 else values[0]

        return replace(
            first,
            column=replace(first.column, name=VALUE),
            quoted=of([column.quoted for column in self.columns]),
            expression=of([column.expression for column in self.columns]),
            order=of([column.order for column in self.columns]),
        )

    def having(self, condition: Callable[[SourceColumn], Sql]) -> Sql:
        """Return that the condition holds for the first column that is set."""
        cases = [st.all_of([*empty, condition(column)]) for column, empty in self._cases()]
        return st.any_of(cases)

    def missing(self) -> Sql | None:
        """Return that none of the columns is set; `None` when one always is."""
        if any(not column.column.nullable and column.unset is None for column in self.columns):
            return None
        return st.all_of([_is_unset(column) for column in self.columns])

    def parts(self) -> list[tuple[SourceColumn, Sql | None]]:
        """Return each column with the condition that it is the first that is set."""
        found: list[tuple[SourceColumn, Sql | None]] = []
        for column, empty in self._cases():
            conditions = [*empty, *filter(None, [st.complete([column])])]
            found.append((column, st.all_of(conditions) if conditions else None))
        return found

    def _cases(self) -> list[tuple[SourceColumn, list[Sql]]]:
        return [
            (column, [_is_unset(before) for before in self.columns[:i]])
            for i, column in enumerate(self.columns)
        ]


def _is_unset(column: SourceColumn) -> Sql:
    is_null = f"{column.quoted} IS NULL"
    if column.unset is None:
        return Sql(is_null)
    return Sql(f"({is_null} OR {column.quoted} = {column.unset})")


def _if_set(column: SourceColumn, expression: str) -> str:
    if column.unset is None:
        return expression
    return f"CASE WHEN {column.quoted} = {column.unset} THEN NULL ELSE {expression} END"
