"""The part that one kind of database plays for the SQL bridge.

`SqlBridge` writes statements once for all of them; what differs (quoting, placeholders, how rows
become frames, how a session is made read-only) is behind this protocol. A database never decides
which rows are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import polars as pl

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.protocol import Column, HiddenRows, Table, Written

__all__ = [
    "Computed",
    "Database",
    "Described",
    "Fetched",
    "Query",
    "SourceColumn",
    "Split",
    "Sql",
    "split_name",
]


@dataclass(frozen=True)
class Sql:
    """A piece of a statement and the values for its placeholders, in order."""

    text: str
    params: tuple[Scalar, ...] = ()

    def __add__(self, other: Sql) -> Sql:
        return Sql(self.text + other.text, self.params + other.params)


@dataclass(frozen=True)
class Split:
    """A condition on a column, `beyond` a point, and its opposite, `upto`; both false for NULL."""

    beyond: Sql
    upto: Sql


@dataclass(frozen=True)
class SourceColumn:
    """A column and how it is read.

    `quoted` is its name in SQL, `expression` what is selected, `order` what is compared and sorted
    by; `dtype` is what it becomes. `lowest` and `highest` bound an integer column. `unset` is a
    value, in SQL, that stands for none as NULL does. `exact`: where the database types values, this
    column has no value of another type all the same.
    """

    column: Column
    quoted: str
    expression: str
    order: str
    dtype: pl.DataType
    lowest: int = -(2**63)
    highest: int = 2**63 - 1
    unset: str | None = None
    exact: bool = False

    def called(self, quoted: str) -> SourceColumn:
        """Return the same column as another statement has it: under that name, or computed."""
        # A quoted name stands nowhere else in an expression: nothing there is quoted but the name.
        qualified = self.order.endswith(f".{self.quoted}")
        return replace(
            self,
            quoted=quoted,
            expression=self.expression.replace(self.quoted, quoted),
            order=quoted if qualified else self.order.replace(self.quoted, quoted),
        )


@dataclass(frozen=True)
class Computed:
    """A column that no table has, and the expression for it."""

    name: str
    expression: Sql
    dtype: pl.DataType = field(default_factory=pl.Int32)


@dataclass(frozen=True)
class Described:
    """A table and its place in SQL (`quoted` is what stands behind FROM)."""

    table: Table
    quoted: str
    columns: dict[str, SourceColumn]


@dataclass(frozen=True)
class Query:
    """One page to read: columns, then those that are computed, then `tail` (FROM and so on).

    `cursor` names the columns whose values in the last row make up the cursor. Columns in `key`
    arrive in a form whose text is the key's. At most `limit` rows are kept, and no more than weigh
    `PAGE_BYTES`.
    """

    columns: tuple[SourceColumn, ...]
    cursor: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    tail: Sql
    limit: int | None
    computed: tuple[Computed, ...] = ()

    def dtypes(self) -> dict[str, pl.DataType]:
        """Return the columns of the frame and their types, as far as the rows fit them."""
        found: dict[str, pl.DataType] = {c.column.name: c.dtype for c in self.columns}
        return found | {column.name: column.dtype for column in self.computed}

    def heavy(self) -> list[int]:
        """Return the places of the columns whose values may weigh anything."""
        unbounded = (pl.String, pl.Binary)
        return [i for i, c in enumerate(self.columns) if isinstance(c.dtype, unbounded)]


@dataclass(frozen=True)
class Fetched:
    """Rows, the cursor values of each, and whether there was one more.

    `position` takes the number of a row, from 0; it may raise `SourceRefused`.
    """

    frame: pl.DataFrame
    position: Callable[[int], tuple[Scalar, ...]]
    more: bool

    @property
    def last(self) -> tuple[Scalar, ...] | None:
        """Cursor values of the last row; `None` when there is no row."""
        return self.position(self.frame.height - 1) if self.frame.height else None


class Database(Protocol):
    """One connection string's database. Verbs raise what the `Bridge` protocol names."""

    @property
    def mark(self) -> str:
        """Return the placeholder."""
        ...

    @property
    def row_values(self) -> bool:
        """Say whether `(a, b) > (x, y)` is an index range here."""
        ...

    @property
    def types_values(self) -> bool:
        """Say whether it types values and not columns, so that any column may hold texts."""
        ...

    def names(self) -> list[str]:
        """Return the names of all tables and views."""
        ...

    def describe(self, name: str) -> Described:
        """Find a table or view and its columns; raises `SchemaMismatch` when there is none."""
        ...

    def unique_keys(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return the unique keys of a table, also those with NULL; the primary one may be left."""
        ...

    def hides_rows(self, name: str) -> HiddenRows | None:
        """Return why rows of a table may be hidden from this user, or `None`."""
        ...

    def read(self, query: Query) -> Fetched:
        """Read a page in one short read-only transaction."""
        ...

    def scalars(self, statement: Sql) -> tuple[Scalar, ...] | None:
        """Return the first row of a statement, or `None` when it has none."""
        ...

    def candidates(self, column: SourceColumn, text: str) -> tuple[Scalar, ...]:
        """Return the values that a key part with this text may have; raises `ValueError`."""
        ...

    def condition(self, text: str) -> Sql:
        """Return a condition that a person wrote, as it can stand in a statement."""
        ...

    def as_text(self, column: SourceColumn) -> SourceColumn:
        """Return the same column, read as the database's own text."""
        ...

    def literal(self, column: SourceColumn) -> str:
        """Return the placeholder for a value that stands in one column with those of `column`."""
        ...

    def since(self, column: SourceColumn, value: Scalar) -> Sql:
        """Return the condition that a tracked column is at or after `value`."""
        ...

    def latest(self, expressions: Sequence[str]) -> str:
        """Return the largest of tracked values, NULL where one is NULL; of one, it is compared."""
        ...

    def as_latest(self, value: Scalar) -> Scalar:
        """Return a tracked value as `latest` has it."""
        ...

    def in_the_future(self, column: SourceColumn, moment: datetime) -> Split | None:
        """Return what tells later times of a column; `None` when it holds no times."""
        ...

    def written(self, name: str) -> Written | None:
        """Return how far a table has been written to; `None` where the database cannot tell."""
        ...

    def unwritten(self, name: str, kept: Written, *, patient: bool = True) -> Written | None:
        """Return how far it is written to now, if it was not written to since `kept`."""
        ...

    def written_after(self, table: Described, since: str) -> Sql:
        """Return the condition that a row was written after a `Written.since` of this table."""
        ...

    def key_hash(self, key: Sequence[SourceColumn]) -> Sql | None:
        """Return the expression for a hash of a key, from 0 below 2^40; `None` where none is."""
        ...

    def close(self) -> None:
        """Give back every connection."""
        ...


def split_name(name: str) -> list[tuple[str | None, str]]:
    """Return the ways to read a table's name: as a whole, then split at each of its dots."""
    dots = [i for i, character in enumerate(name) if character == "."]
    whole: list[tuple[str | None, str]] = [(None, name)] if name else []
    return whole + [(name[:i], name[i + 1 :]) for i in dots if name[:i] and name[i + 1 :]]
