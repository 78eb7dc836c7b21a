"""What an index of rows can do that an index of objects cannot, and what a row's chunks look like.

A frame of rows that is written may have a column CHUNKS: for each row that was cut the list of its
chunks, in their order, and null for every other row. VECTOR is that of the first chunk then, and
TEXT_HASH that of the whole text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import polars as pl

from semilayer_pipelines.stores.protocol import TEXT_HASH, VECTOR, Index, IndexSchema, Store

__all__ = [
    "CHUNK",
    "CHUNKS",
    "END",
    "FIELD",
    "OF",
    "ORDINAL",
    "START",
    "RowIndex",
    "RowStore",
    "chunks_type",
]

CHUNKS = "_chunks"  # List of Struct, see `chunks_type`; in frames that are written
CHUNK = "_chunk"  # Struct of field, start, end, score; in what a search finds, null if whole

OF = "_of"  # Int64: how many chunks the row has
FIELD = "_field"  # String: the mapped field that was cut
START = "_start"  # first character of the chunk in that field's text
END = "_end"  # first character behind it
ORDINAL = "_ordinal"  # UInt32: number of the chunk in its row, from 0


def chunks_type(dimension: int) -> pl.List:
    """Return the type of the column CHUNKS; TEXT_HASH is that of the text that was embedded."""
    return pl.List(
        pl.Struct(
            {
                TEXT_HASH: pl.Binary(),
                FIELD: pl.String(),
                START: pl.UInt32(),
                END: pl.UInt32(),
                VECTOR: pl.Array(pl.Float32, dimension),
            }
        )
    )


class RowIndex(Index, Protocol):
    """An index of rows, some of which were cut.

    All verbs take and give the keys of rows. `add` and `upsert` take frames with or without CHUNKS.
    Searches group by row and add a column CHUNK.
    """

    @property
    def cuts(self) -> bool:
        """Whether any row was ever cut."""
        ...

    @property
    def leftovers(self) -> pl.Series:
        """The groups (UInt64) of chunks of no row that the last whole `scan` with hashes met.

        A group is of one row and version. A writer that died leaves them; so it looks, too, while
        one is at work.
        """
        ...

    def vectors(self) -> int:
        """Count the vectors: one a row, and one for each chunk of a row that was cut."""
        ...

    def held(self, keys: Sequence[str], *, vectors: bool = True) -> pl.DataFrame:
        """Return (KEY, TEXT_HASH[, VECTOR]) of every text that was embedded for these rows.

        That is the text of a row, or those of its chunks.
        """
        ...

    def stored(self, keys: Sequence[str]) -> pl.DataFrame:
        """Return (KEY, ROW_HASH, TEXT_HASH) of the objects of rows as they are stored.

        The TEXT_HASH of a row that was cut tells how (see `versions.as_stored`).
        """
        ...

    def chunks_of(self, keys: Sequence[str]) -> pl.DataFrame:
        """Return (KEY, ORDINAL, FIELD, START, END, TEXT_HASH) of the chunks held of rows.

        Those of a row come in their order.
        """
        ...

    def chunk_objects(self, keys: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield all that is held of the chunks of rows, some at a time, in no order.

        Columns are KEY (of the row), ORDINAL, ROW_HASH, TEXT_HASH, VECTOR, the fields, OF, FIELD,
        START and END.
        """
        ...

    def orphan_chunks(self, among: pl.Series) -> Iterator[pl.Series]:
        """Yield the keys of rows, one a chunk, of chunks that were leftovers before and still are.

        `among` are `leftovers` of a scan. The row is gone, or is of another version. An object that
        is no chunk has its own key.
        """
        ...

    def remove_leftovers(self) -> int:
        """Delete those of the `leftovers` that are of no row as it is now; return how many.

        No search shows them. Must be called inside the lock.
        """
        ...


class RowStore(Store, Protocol):
    """Where the generations of all lenses of one environment live, by rows."""

    def create(self, name: str, schema: IndexSchema) -> RowIndex:
        """Create an index, or open it when it exists already."""
        ...

    def find(self, name: str) -> RowIndex | None:
        """Open an index; return `None` when there is none."""
        ...

    def open(self, name: str) -> RowIndex:
        """Open an existing index; raise `NotFound` when there is none."""
        ...
