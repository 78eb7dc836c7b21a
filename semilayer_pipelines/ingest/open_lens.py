"""A lens with everything it needs at hand: bridge, mapping, embedder, store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from semilayer_pipelines.bridges.protocol import NO_KEYS, UNTRACKABLE, Bridge, Selection, Table
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.mapping.compile import Mapping, compile_mapping
from semilayer_pipelines.nearest import nearest
from semilayer_pipelines.project import Clock, Project
from semilayer_pipelines.registry import generations, sources
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens, Needs
from semilayer_pipelines.stores.protocol import Store

__all__ = [
    "DEFAULT_TRACKING_COLUMN",
    "OpenLens",
    "as_indexed",
    "key_of",
    "open_lens",
    "same_rows",
    "tracking_column_of",
]

DEFAULT_TRACKING_COLUMN = "updated_at"


@dataclass(frozen=True)
class OpenLens:
    """One lens, opened. `tracked` is its change-tracking column, if it has one."""

    lens: Lens
    registry: Registry
    bridge: Bridge
    selection: Selection
    tracked: str | None
    mapping: Mapping
    embedder: Embedder
    store: Store
    clock: Clock


@contextmanager
def open_lens(project: Project, lens: Lens) -> Iterator[OpenLens]:
    """Open a lens and close its connections afterwards.

    Raises what bridge, mapping and store raise: `SourceUnreachable`, `SourceRefused`,
    `SchemaMismatch`, `ConfigError`.
    """
    with project.registry.read() as db:
        source = sources.get(db, lens.env_id, lens.config.source)
    embedder = project.embedder(lens.config.embedding)
    bridge = project.bridge(lens.config.source, source)
    try:
        table = bridge.table(lens.config.table)
        key = key_of(lens.config, table)
        mapping = compile_mapping(
            lens.config,
            table,
            key=key,
            model_fingerprint=embedder.fingerprint,
            project_dir=project.settings.root,
        )
        yield OpenLens(
            lens=lens,
            registry=project.registry,
            bridge=bridge,
            selection=Selection(lens.config.table, key, mapping.columns),
            tracked=tracking_column_of(lens.config, table),
            mapping=mapping,
            embedder=embedder,
            store=project.store(lens.env),
            clock=project.clock,
        )
    finally:
        bridge.close()


def as_indexed(project: Project, lens: Lens) -> Lens:
    """Return the lens with the configuration that its index is kept in step by.

    Until a rebuild that a push made necessary, that is the one it was built with, so that it never
    holds two (invariant 9).
    """
    if lens.needs is not Needs.REBUILD:
        return lens
    with project.registry.read() as db:
        active = generations.active(db, lens.id)
    return replace(lens, config=active.config) if active else lens


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
    """Return the column that moves with every change (spec: `updated_at` if present).

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
