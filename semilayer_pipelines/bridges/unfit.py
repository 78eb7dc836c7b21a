"""Values that the type of their column has and a frame's type has not.

PostgreSQL knows `infinity`, MariaDB `0000-00-00`, and SQLite types values, not columns. Each column
of a frame has one type, which follows from the table's description alone. A value that does not fit
it is null there and stands, as the database's own text, in a column of its own beside it. So a
value never depends on its neighbours, its page or its shard.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

__all__ = ["RowsDoNotFit", "unfit_columns", "unfit_name", "with_unfit"]

# A NUL cannot be part of a column name in any database, so nothing can be called the same.
_PREFIX = "\0unfit "


class RowsDoNotFit(Exception):
    """Rows have values of another kind than their columns had when they were described."""


def unfit_name(column: str) -> str:
    """Return the name of the String column that holds what did not fit `column`."""
    return f"{_PREFIX}{column}"


def unfit_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Return the source columns for which a frame with these column names has unfit values."""
    return tuple(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))


def with_unfit(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame for people: each column as text that has an unfit value, nothing beside it."""
    loose = unfit_columns(frame.columns)
    shown = [pl.coalesce(pl.col(unfit_name(c)), pl.col(c).cast(pl.String)).alias(c) for c in loose]
    return frame.with_columns(shown).drop(unfit_name(column) for column in loose)
