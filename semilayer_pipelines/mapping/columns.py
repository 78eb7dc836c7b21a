"""The columns of a table that a lens uses: its key, and those that move with every change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from semilayer_pipelines.bridges.protocol import NO_KEYS, UNTRACKABLE, Column, Table
from semilayer_pipelines.config.joins import JoinConfig
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.errors import SchemaMismatch, nearest
from semilayer_pipelines.redaction import is_secret_name

__all__ = [
    "DEFAULT_TRACKING_COLUMN",
    "created_beside",
    "key_of",
    "names_of",
    "same_rows",
    "tracking_columns_of",
    "unique_key_of",
    "unique_keys_of",
]

DEFAULT_TRACKING_COLUMN = "updated_at"
_MOVES = re.compile(r"updated|modified|changed", re.IGNORECASE)


def key_of(config: LensConfig, table: Table) -> tuple[str, ...]:
    """Return the key columns of a lens, in key order.

    They are those that the lens names, the table's primary key, or else a unique key of it. Raises
    `SchemaMismatch` when a named one does not exist, or none is named and the table has none.
    """
    names = [column.name for column in table.columns]
    if table.rowid is not None:
        names.append(table.rowid.name)
    for name in config.primary_key:
        if name not in names:
            raise SchemaMismatch(
                f"Table {table.name!r} has no column {name!r}{nearest(name, names)}, which "
                f"'primaryKey' names.",
                cure=f"Columns: {', '.join(names)}.",
            )
    key = config.primary_key or table.key or unique_key_of(table)
    if not key:
        own = f" SQLite numbers its rows itself: {table.rowid.name!r}." if table.rowid else ""
        raise SchemaMismatch(
            f"Table {table.name!r} has no primary key and no unique index without NULL, so its "
            "rows cannot be told apart.",
            cure=f"Name a unique column, or several, as 'primaryKey' of the lens.{own}",
        )
    for column in table.columns:
        if column.name in key and column.kind in NO_KEYS:
            raise SchemaMismatch(
                f"Column {column.name!r} of table {table.name!r} is {column.database_type}, which "
                "cannot identify a row.",
                cure="Name other columns as 'primaryKey' of the lens.",
            )
    return key


def unique_key_of(table: Table) -> tuple[str, ...]:
    """Return the unique key that stands in for a primary key; empty without one.

    Every row has it, and no column of it is named like a secret: keys are kept in the index.
    """
    nullable = {column.name for column in table.columns if column.nullable}
    for key in unique_keys_of(table):
        if nullable.isdisjoint(key) and not any(is_secret_name(name) for name in key):
            return key
    return ()


def unique_keys_of(table: Table) -> Iterator[tuple[str, ...]]:
    """Yield the unique keys that can identify a row: the shortest first, numbers before texts."""
    kinds = {column.name: column.kind for column in table.columns}

    def order(key: tuple[str, ...]) -> tuple[int, int]:
        return len(key), sum(kinds[name] not in ("integer", "uuid") for name in key)

    for key in sorted(table.unique, key=order):
        if not any(kinds[name] in NO_KEYS for name in key):
            yield key


def same_rows(lens: LensConfig, built: LensConfig, key: tuple[str, ...]) -> bool:
    """Say whether an index that was built for `built` knows the rows of a lens as the lens does.

    `key` is the lens's key as its table is now. An index keeps the key that it was built with, also
    where the lens names none; those of older versions do not.
    """
    return (lens.source, lens.table) == (built.source, built.table) and (
        built.primary_key in (key, lens.primary_key)
    )


def tracking_columns_of(config: LensConfig | JoinConfig, table: Table) -> tuple[str, ...]:
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
