"""Chunks whose hashes are right, while their fields, places or vectors are not.

The hashes of a row cover which texts its chunks are of, and nothing else of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.texts import chunks_of
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.queries.differing import (
    STORED,
    differs,
    of_other_texts,
    unlike,
    usable,
)
from semilayer_pipelines.stores.chunks.objects import OF_CHUNKS, ROW, held_of_rows
from semilayer_pipelines.stores.chunks.protocol import OF, ORDINAL, RowIndex
from semilayer_pipelines.stores.protocol import KEY, TEXT_HASH, VECTOR

__all__ = ["CHUNK_VECTOR", "NAME", "THE_VECTOR", "AlteredChunks"]

NAME = "name"  # String: what is altered

THE_VECTOR = "vector"
CHUNK_VECTOR = "vector of chunks"
_PLACE = "place of chunks"


class AlteredChunks:
    """Reads the chunks of rows back and compares them; counts the rows whose texts it embedded."""

    def __init__(self, opened: OpenLens, index: RowIndex) -> None:
        self._opened = opened
        self._index = index
        self.embedded = 0

    def find(self, rows: pl.DataFrame, embed: pl.Series) -> Iterator[pl.DataFrame]:
        """Yield KEY and what is altered of it ("name"), of those mapped rows that are cut.

        `rows` has VECTOR, as it is stored. The texts of all chunks of the keys in `embed` are
        embedded. Raises what embedder and store raise.
        """
        if not (self._opened.knows_cuts and self._index.cuts):
            return
        pieces = chunks_of(self._opened, rows)
        expected = held_of_rows(
            rows.select(KEY, *(field.name for field in self._index.schema.fields)),
            pieces.with_columns(pl.len().over(ROW).cast(pl.Int64).alias(OF)),
            self._index.schema,
        )
        own = rows.select(KEY, pl.col(VECTOR).alias(VECTOR + STORED))
        for stored in self._index.chunk_objects(expected[KEY].unique().to_list()):
            both = expected.join(stored, on=[KEY, ORDINAL, TEXT_HASH], suffix=STORED)
            yield self._fields(both, stored)
            yield self._vectors(both, embed)
            yield _first(both.join(own, on=KEY))

    def _fields(self, both: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
        marks = [
            pl.when(differs(field, stored.schema[field.name])).then(
                pl.lit(f"{field.name} of chunks")
            )
            for field in self._index.schema.fields
        ]
        place = pl.any_horizontal(differs(field, stored.schema[field.name]) for field in OF_CHUNKS)
        marks.append(pl.when(place).then(pl.lit(_PLACE)))
        told = both.select(KEY, pl.concat_list(marks).list.drop_nulls().alias(NAME))
        return told.explode(NAME, empty_as_null=True).drop_nulls()

    def _vectors(self, both: pl.DataFrame, embed: pl.Series) -> pl.DataFrame:
        unusable = both.filter(~usable(both[VECTOR]))[KEY]
        chosen = both.filter(pl.col(KEY).is_in(embed.implode()))
        other, compared = of_other_texts(self._opened, chosen, chosen[TEXT].to_list())
        self.embedded += int((chosen[ORDINAL].gather(compared) == 0).sum())
        keys = pl.concat([unusable, chosen[KEY].gather(other)])
        return pl.DataFrame([keys, pl.repeat(CHUNK_VECTOR, len(keys), eager=True).alias(NAME)])


def _first(both: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose own vectors are not those of their first chunks."""
    first = both.filter((pl.col(ORDINAL) == 0) & usable(both[VECTOR]))
    other = unlike(first[VECTOR + STORED].to_numpy(), first[VECTOR].to_numpy())
    return first.filter(pl.Series(other)).select(KEY, pl.lit(THE_VECTOR).alias(NAME))
