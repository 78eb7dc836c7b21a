"""A lens with everything it needs at hand: bridge, mapping, embedder, store."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection

from semilayer_pipelines.bridges.protocol import Bridge, Selection
from semilayer_pipelines.chunking.split import Splitter, splitter
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.embedders.prompts import BuiltWith
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.errors import EmbedderUnavailable, ReadingUnknown
from semilayer_pipelines.ingest.built_with import built_with, embedder_of
from semilayer_pipelines.mapping.columns import key_of, tracking_columns_of
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.joined import lens_table
from semilayer_pipelines.mapping.mapped import LensMapping
from semilayer_pipelines.project import Clock, Project
from semilayer_pipelines.registry import generations, sources
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.lenses import Lens
from semilayer_pipelines.stores.chunks.protocol import RowStore
from semilayer_pipelines.stores.lance.kept_facts import KeptFacts

__all__ = ["OpenLens", "as_indexed", "index_embedder", "open_lens"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenLens:
    """One lens, opened. `tracked` are its change-tracking columns: the first that is set counts.

    Those of joined tables stand in the joins of `selection`.

    `built` is how the texts of the index are embedded that it was opened for. `walks` is the folder
    of what complete walks saw (see `kept_rows`), and `kept_facts` the place for what it holds.
    """

    lens: Lens
    registry: Registry
    bridge: Bridge
    selection: Selection
    tracked: tuple[str, ...]
    mapping: LensMapping
    embedder: Embedder
    built: BuiltWith
    store: RowStore
    clock: Clock
    walks: Path
    kept_facts: KeptFacts | None

    @property
    def as_built(self) -> LensConfig:
        """The lens's configuration as its index keeps it: with its key, though the table has one.

        The table may get another key later, which is no key of what is indexed.
        """
        return self.lens.config.model_copy(update={"primary_key": self.selection.key})

    @property
    def splitter(self) -> Splitter | None:
        """What cuts long texts; `None` where none is ever cut, or nobody can tell where.

        Raises `EmbedderUnavailable` while the service that could does not answer.
        """
        found = self._splitting
        return None if isinstance(found, ReadingUnknown) else found

    @property
    def cannot_cut(self) -> bool:
        """Whether nobody can tell how the model reads, so that nothing is cut. Raises the same."""
        return isinstance(self._splitting, ReadingUnknown)

    @cached_property
    def knows_cuts(self) -> bool:
        """Whether it was known, when this was first asked, how texts are cut. Raises nothing."""
        try:
            return not self.cannot_cut
        except EmbedderUnavailable:
            return False

    @property
    def split_by(self) -> str | None:
        """What cuts long texts, as their index notes it (see `Generation`). Raises the same.

        Where nothing can be cut it is `MIXED`: a smart sync by a run that can is then due.
        """
        if self.cannot_cut:
            return generations.MIXED
        return None if self.splitter is None else self.splitter.fingerprint

    @cached_property
    def _splitting(self) -> Splitter | ReadingUnknown | None:
        try:
            return splitter(self.lens.config, self.embedder, self.built)
        except ReadingUnknown as error:
            logger.warning(
                "%s: long texts are not cut in this run, and cannot be found by what the model "
                "does not read of them. %s %s Then run `semilayer sync --lens %s`.",
                self.lens.name,
                error.message,
                error.cure,
                self.lens.name,
            )
            return error


@contextmanager
def open_lens(project: Project, lens: Lens, *, new_index: bool = False) -> Iterator[OpenLens]:
    """Open a lens and close its connections afterwards.

    Its texts are embedded as its index was built, and for a `new_index` as one is built now.
    Raises what bridge, mapping and store raise: `SourceUnreachable`, `SourceRefused`,
    `SchemaMismatch`, `ConfigError`.
    """
    with project.registry.read() as db:
        source = sources.get(db, lens.env_id, lens.config.source)
        active = None if new_index else generations.active(db, lens.id)
    embedding = lens.config.embedding
    if active is None:
        built = project.build_of(embedding)
        project.forget_embedder(embedding, built)  # its model may have been trained anew
        embedder = project.embedder(embedding, built)
    else:
        built = built_with(active)
        embedder = embedder_of(project, embedding, active)
    bridge = project.bridge(lens.config.source, source)
    try:
        found = lens_table(lens.config, bridge)
        key = key_of(lens.config, found.table)
        mapping = compile_mapping(
            lens.config,
            found.whole,
            key=key,
            model_fingerprint=embedder.fingerprint,
            project_dir=project.settings.root,
        )
        yield OpenLens(
            lens=lens,
            registry=project.registry,
            bridge=bridge,
            selection=found.selection(key, mapping.columns),
            tracked=tracking_columns_of(lens.config, found.table),
            mapping=mapping,
            embedder=embedder,
            built=built,
            store=project.store(lens.env),
            clock=project.clock,
            walks=project.settings.walks,
            kept_facts=project.kept_facts(lens.env),
        )
    finally:
        bridge.close()


def index_embedder(db: Connection, project: Project, lens: Lens) -> Embedder:
    """Return what embeds for the index of a lens, as it is kept in sync and searched now."""
    active = generations.active(db, lens.id)
    config = in_force(db, lens).config.embedding
    return project.embedder(config) if active is None else embedder_of(project, config, active)


def as_indexed(project: Project, lens: Lens) -> Lens:
    """Return the lens with the configuration by which it is kept in sync (`registry.in_force`)."""
    with project.registry.read() as db:
        return in_force(db, lens)
