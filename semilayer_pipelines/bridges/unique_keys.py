"""The unique keys of a table that has no primary key, from rows of (index, column)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from semilayer_pipelines.bridges.database import SourceColumn

__all__ = ["never_null", "unique_keys"]


def unique_keys(rows: Iterable[Sequence[Any]]) -> tuple[tuple[str, ...], ...]:
    """Return the columns of each index, in its order; not of an index over expressions."""
    found: dict[str, list[str | None]] = {}
    for index, column in rows:
        found.setdefault(str(index), []).append(None if column is None else str(column))
    return tuple(
        tuple(name for name in names if name is not None)
        for names in found.values()
        if None not in names
    )


def never_null(
    keys: Iterable[tuple[str, ...]], columns: Iterable[SourceColumn]
) -> tuple[tuple[str, ...], ...]:
    """Return the keys without a column that may be NULL."""
    nullable = {one.column.name for one in columns if one.column.nullable}
    return tuple(key for key in keys if nullable.isdisjoint(key))
