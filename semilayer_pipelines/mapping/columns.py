"""The columns of a table that a lens uses: its key, and those that move with every change."""

from __future__ import annotations

import re
from collections.abc import Sequence

from semilayer_pipelines.bridges.protocol import NO_KEYS, UNTRACKABLE, Column, Table
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import SchemaMismatch, nearest

__all__ = [
    "DEFAULT_TRACKING_COLUMN",
    "created_beside",
    "key_of",
    "names_of",
    "same_rows",
    "tracking_columns_of",
]

DEFAULT_TRACKING_COLUMN = "updated_at"
_MOVES = re.compile(r"updated|modified|changed", re.IGNORECASE)


def key_of(config: LensConfig, table: Table) -> tuple[str, ...]:
    """Return the key columns of a lens, in key order.

    Raises `SchemaMismatch` when a named one does not exist or none is named and the table has none.
    """
    names = [column.name for column in table.columns]
    for name in config.primary_key:
        if name not in names:
            raise SchemaMismatch(
                f"Table {table.name!r} has no column {name!r}{nearest(name, names)}, which "
                f"'primaryKey' names.",
                cure=f"Columns: {', '.join(names)}.",
            )
    key = config.primary_key or table.key
    if not key:
        raise SchemaMismatch(
            f"Table {table.name!r} has no primary key, so its rows cannot be told apart.",
            cure="Name a unique column, or several, as 'primaryKey' of the lens.",
        )
    for column in table.columns:
        if column.name in key and column.kind in NO_KEYS:
            raise SchemaMismatch(
                f"Column {column.name!r} of table {table.name!r} is {column.database_type}, which "
                "cannot identify a row.",
                cure="Name other columns as 'primaryKey' of the lens.",
            )
    return key


def same_rows(one: LensConfig, other: LensConfig) -> bool:
    """Say whether two configurations are about the same rows of the same source."""
    return (one.source, one.table, one.primary_key) == (
        other.source,
        other.table,
        other.primary_key,
    )


def tracking_columns_of(config: LensConfig, table: Table) -> tuple[str, ...]:
    """Return the columns that tell when a row changed: the first that is set counts.

    None of them where there is none (docs/keeping-data-fresh.md). Raises `SchemaMismatch` when the
    lens names one that does not exist or cannot be tracked, or several of different types.
    """
    if not config.change_tracking_column:
        default = table.column(DEFAULT_TRACKING_COLUMN)
        if default is None or default.kind in UNTRACKABLE:
            return ()
        return default.name, *created_beside(default, table)
    columns = [_trackable(name, table) for name in config.change_tracking_column]
    if len({column.kind for column in columns}) > 1:
        types = ", ".join(f"{column.name!r} is {column.database_type}" for column in columns)
        raise SchemaMismatch(
            f"'changeTrackingColumn' names columns of different types: {types}.",
            cure="Name columns of one type: their values have to sort together.",
        )
    return config.change_tracking_column


def names_of(tracked: Sequence[str]) -> str:
    """Return tracked columns as a person names them."""
    return " or ".join(repr(name) for name in tracked)


def created_beside(column: Column, table: Table) -> tuple[str, ...]:
    """Return the column that tells when rows came, where `column` is NULL until they change.

    It is called like `column`, with `created` for what stands there: `created_at`, `dateCreated`.
    """
    if not column.nullable:
        return ()
    name = _MOVES.sub(lambda match: "Created" if match[0][0].isupper() else "created", column.name)
    beside = table.column(name)
    alike = beside is not None and beside.database_type == column.database_type
    return (name,) if alike and name != column.name else ()


def _trackable(name: str, table: Table) -> Column:
    found = table.column(name)
    if found is None:
        names = [column.name for column in table.columns]
        raise SchemaMismatch(
            f"Table {table.name!r} has no column {name!r}{nearest(name, names)}, which "
            "'changeTrackingColumn' names.",
            cure=f"Columns: {', '.join(names)}.",
        )
    if found.kind in UNTRACKABLE:
        raise SchemaMismatch(
            f"'changeTrackingColumn' names {name!r}, which is {found.database_type} and has "
            "no order that follows changes.",
            cure="Track a time, a date, or a number or version that grows with every change.",
        )
    return found
