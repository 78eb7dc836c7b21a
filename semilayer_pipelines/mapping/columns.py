"""Which columns of a table a lens goes by: its key, and the one that moves with every change."""

from __future__ import annotations

from semilayer_pipelines.bridges.protocol import NO_KEYS, UNTRACKABLE, Table
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import SchemaMismatch, nearest

__all__ = ["DEFAULT_TRACKING_COLUMN", "key_of", "same_rows", "tracking_column_of"]

DEFAULT_TRACKING_COLUMN = "updated_at"


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


def tracking_column_of(config: LensConfig, table: Table) -> str | None:
    """Return the column that moves with every change (docs/keeping-data-fresh.md).

    Raises `SchemaMismatch` when the lens names one that does not exist or cannot be tracked.
    """
    if config.change_tracking_column is None:
        default = table.column(DEFAULT_TRACKING_COLUMN)
        return default.name if default and default.kind not in UNTRACKABLE else None
    named = table.column(config.change_tracking_column)
    if named is None:
        names = [column.name for column in table.columns]
        raise SchemaMismatch(
            f"Table {table.name!r} has no column {config.change_tracking_column!r}"
            f"{nearest(config.change_tracking_column, names)}, which 'changeTrackingColumn' names.",
            cure=f"Columns: {', '.join(names)}.",
        )
    if named.kind in UNTRACKABLE:
        raise SchemaMismatch(
            f"'changeTrackingColumn' names {named.name!r}, which is {named.database_type} and has "
            "no order that follows changes.",
            cure="Track a time, a date, or a number or version that grows with every change.",
        )
    return named.name
