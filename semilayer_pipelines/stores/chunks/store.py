"""A store of rows over a store of objects: each index with that of its chunks, where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from semilayer_pipelines.stores.chunks import OF_CHUNKS
from semilayer_pipelines.stores.chunks.index import ChunkedIndex
from semilayer_pipelines.stores.chunks.objects import chunk_schema
from semilayer_pipelines.stores.protocol import Index, IndexSchema, Store

__all__ = ["ChunkedStore"]


class ChunkedStore:
    """Implements `RowStore`; `inner` is the store that holds both indexes."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def check(self, lenses: Mapping[str, bool]) -> None:
        """Ask, writing nothing, whether the indexes of these lenses can be made and used here."""
        self.inner.check(lenses)

    def create(self, name: str, schema: IndexSchema) -> ChunkedIndex:
        """Create an index, or open it when it exists already; raise if its dimension differs."""
        return self._of(self.inner.create(name, schema))

    def find(self, name: str) -> ChunkedIndex | None:
        """Open an index; return `None` when there is none, or it was dropped a moment ago."""
        found = self.inner.find(name)
        return None if found is None else self._of(found)

    def open(self, name: str) -> ChunkedIndex:
        """Open an existing index; raise `NotFound` when there is none."""
        return self._of(self.inner.open(name))

    def exists(self, name: str) -> bool:
        """Say whether the index exists."""
        return self.inner.exists(name)

    def drop(self, name: str) -> None:
        """Remove an index with its chunks; no error when they are gone already.

        The one of the rows goes first, with its lock: no writer is at work in the other then.
        """
        self.inner.drop(name)
        self.inner.drop(name + OF_CHUNKS)

    def names(self) -> list[str]:
        """List the indexes of this environment.

        One of which only the chunks are left is among them, so that somebody drops it.
        """
        return sorted({name.removesuffix(OF_CHUNKS) for name in self.inner.names()})

    def point(self, lens: str, name: str) -> None:
        """Let the lens's public name in the store, where it has such names, lead to an index."""
        self.inner.point(lens, name)

    def _of(self, main: Index) -> ChunkedIndex:
        name, schema = main.name + OF_CHUNKS, chunk_schema(main.schema)
        return ChunkedIndex(
            main, partial(self._found, name, schema), partial(self._made, name, schema)
        )

    def _found(self, name: str, schema: IndexSchema) -> Index | None:
        found = self.inner.find(name)
        return found if found is not None and found.schema.holds_like(schema) else None

    def _made(self, name: str, schema: IndexSchema) -> Index:
        """Return the index of chunks; whoever asks holds the lock of the rows."""
        if self.inner.exists(name) and self._found(name, schema) is None:
            # Left of another index of that name, of which nothing else is left.
            self.inner.drop(name)
        return self.inner.create(name, schema)
