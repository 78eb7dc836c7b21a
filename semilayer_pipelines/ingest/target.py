"""The generation that a run writes to.

A generation's physical index is made when the first vector is known, because only then its
dimension is. A building generation has no readers and no other writers of the same shard, so new
rows are appended to it; the active one is merged into, because changes arrive from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.errors import DimensionChanged
from semilayer_pipelines.ingest.parts import Parts
from semilayer_pipelines.registry import generations
from semilayer_pipelines.registry.generations import Generation, GenerationState
from semilayer_pipelines.stores.protocol import Index, IndexSchema

__all__ = ["GenerationSwitched", "Target"]


class GenerationSwitched(Exception):
    """The active generation changed since the run began; the run starts over on the new one."""


class Target:
    """Writes the objects of one run to one generation."""

    def __init__(self, parts: Parts, generation: Generation) -> None:
        self._parts = parts
        self.generation = generation
        self._index: Index | None = None

    @property
    def index(self) -> Index | None:
        """The physical index, or `None` as long as nothing was ever written."""
        if self._index is None and self._parts.store.exists(self.generation.index_name):
            self._index = self._parts.store.open(self.generation.index_name)
        return self._index

    def require_index(self, dimension: int) -> Index:
        """Return the index for vectors of this dimension, made if need be.

        Raises `DimensionChanged` when the generation holds vectors of another (invariant 9).
        """
        if self._index is None:
            with self._parts.registry.begin() as db:
                generations.set_dimension(db, self.generation.id, dimension)
            schema = IndexSchema(self._parts.mapping.fields, dimension)
            self._index = self._parts.store.create(self.generation.index_name, schema)
        if self._index.dimension != dimension:
            raise DimensionChanged(
                f"The model gives vectors of {dimension} dimensions, the index holds "
                f"{self._index.dimension}.",
                cure="A changed model needs a rebuild: `semilayer push --rebuild`.",
                lens=self._parts.lens.name,
            )
        return self._index

    @contextmanager
    def locked(self, index: Index) -> Iterator[None]:
        """Hold the write lock, with the generation still the one it was.

        Raises `GenerationSwitched` when an active generation was replaced meanwhile.
        """
        with index.lock():
            with self._parts.registry.read() as db:
                self._check_state(db)
            yield

    def _check_state(self, db: Connection) -> None:
        current = (
            generations.building(db, self._parts.lens.id)
            if self.generation.state is GenerationState.BUILDING
            else generations.active(db, self._parts.lens.id)
        )
        if current is None or current.id != self.generation.id:
            raise GenerationSwitched

    def write(self, index: Index, objects: pl.DataFrame, known: pl.Series) -> int:
        """Write objects under the lock; `known` says which keys the index may hold already."""
        if self.generation.state is GenerationState.ACTIVE or bool(known.all()):
            return index.upsert(objects) if objects.height else 0
        if not known.any():
            return index.add(objects)
        return index.upsert(objects.filter(known)) + index.add(objects.filter(~known))
