"""A lens with everything it needs at hand: bridge, mapping, embedder, store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from semilayer_pipelines.bridges.protocol import Bridge, Selection
from semilayer_pipelines.chunking.split import Splitter, splitter
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.mapping.columns import key_of, tracking_columns_of
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.mapped import LensMapping
from semilayer_pipelines.project import Clock, Project
from semilayer_pipelines.registry import sources
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.stores.chunks.protocol import RowStore

__all__ = ["OpenLens", "as_indexed", "open_lens"]


@dataclass(frozen=True)
class OpenLens:
    """One lens, opened.

    `tracked` are its change-tracking columns: the first that is set counts.
    """

    lens: Lens
    registry: Registry
    bridge: Bridge
    selection: Selection
    tracked: tuple[str, ...]
    mapping: LensMapping
    embedder: Embedder
    store: RowStore
    clock: Clock

    @cached_property
    def splitter(self) -> Splitter | None:
        """What cuts long texts, `None` where none is ever cut; raises `ModelUnavailable`."""
        return splitter(self.lens.config, self.embedder)

    @property
    def split_by(self) -> str | None:
        """The fingerprint of what cuts long texts (see `Generation`)."""
        return None if self.splitter is None else self.splitter.fingerprint


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
            tracked=tracking_columns_of(lens.config, table),
            mapping=mapping,
            embedder=embedder,
            store=project.store(lens.env),
            clock=project.clock,
        )
    finally:
        bridge.close()


def as_indexed(project: Project, lens: Lens) -> Lens:
    """Return the lens with the configuration by which it is kept in sync (`registry.in_force`)."""
    with project.registry.read() as db:
        return in_force(db, lens)
