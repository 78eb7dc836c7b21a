"""Objects whose hashes are those of their rows, while their fields or vectors are not.

Our own writes bring in all of a row together. A hand, a copy of an index or a fault of the store
does not, and no comparison of hashes sees it.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.stored_fields import as_stored
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.queries.altered_chunks import (
    CHUNK_VECTOR,
    NAME,
    THE_VECTOR,
    AlteredChunks,
)
from semilayer_pipelines.queries.differing import STORED, differs, of_other_texts, usable
from semilayer_pipelines.queries.sample import Sample
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    TEXT_HASH,
    VECTOR,
    WORDS,
)

__all__ = ["ALTERED_IN", "EMBEDDED", "VECTORS", "Altered"]

EMBEDDED = 200
"""Rows of which the text is embedded, to compare vectors with, unless a sample says otherwise."""

READ_AT_ONCE = 1_000
"""Objects that are read back together, vectors and all."""

ALTERED_IN = "altered in"

VECTORS = (THE_VECTOR, CHUNK_VECTOR)
"""What ALTERED_IN has of a row whose texts have to be embedded again."""

_KEYWORDS = "keywords"


class Altered:
    """Reads objects back and compares them; of `embedded` of `rows` the text is embedded too."""

    def __init__(self, opened: OpenLens, index: RowIndex, *, rows: int, embedded: int) -> None:
        self._opened = opened
        self._index = index
        self._sample = Sample(embedded, rows)
        self._chunks = AlteredChunks(opened, index)
        self._embedded = 0
        self.read = 0

    @property
    def embedded(self) -> int:
        """Of how many rows the texts were embedded so far."""
        return self._embedded + self._chunks.embedded

    def find(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ALTERED_IN) of the objects of mapped rows that differ from them.

        ALTERED_IN is a list of the names of fields, then of what is wrong with vectors and chunks.
        An object whose hashes are not those of its row is left to the comparison of hashes. Raises
        what embedder and store raise.
        """
        for part in rows.iter_slices(READ_AT_ONCE):
            yield self._of(part)

    def _of(self, rows: pl.DataFrame) -> pl.DataFrame:
        schema = self._index.schema
        names = [*(field.name for field in schema.fields), *([WORDS] if schema.words else [])]
        stored = self._index.fetch(rows[KEY].to_list(), vectors=True, also=names)
        ours = self._opened.mapping.with_words(as_stored(rows, schema))
        both = ours.join(
            stored, on=[KEY, ROW_HASH, TEXT_HASH], suffix=STORED, maintain_order="left"
        )
        self.read += both.height
        chosen = rows[self._sample.among(rows.height)][KEY]
        found = [self._in_fields(both), self._in_vectors(both, chosen)]
        found += self._chunks.find(both, chosen)
        told = pl.concat(found).group_by(KEY).agg(pl.col(NAME).unique(maintain_order=True))
        listed = told.rename({NAME: ALTERED_IN})
        keys = both.select(KEY).unique(maintain_order=True)
        return keys.join(listed, on=KEY, maintain_order="left")

    def _in_fields(self, both: pl.DataFrame) -> pl.DataFrame:
        marks = [
            pl.when(differs(field, both.schema[field.name + STORED])).then(pl.lit(field.name))
            for field in self._index.schema.fields
        ]
        if self._index.schema.words:
            other = pl.col(WORDS).ne_missing(pl.col(WORDS + STORED))
            marks.append(pl.when(other).then(pl.lit(_KEYWORDS)))
        told = both.select(KEY, pl.concat_list(marks).list.drop_nulls().alias(NAME))
        return told.explode(NAME, empty_as_null=True).drop_nulls()

    def _in_vectors(self, both: pl.DataFrame, chosen: pl.Series) -> pl.DataFrame:
        """Return the rows without a usable vector, and those of another text among the chosen.

        Of a row that was cut the texts of the chunks are embedded, see `AlteredChunks`.
        """
        unusable = both.filter(~usable(both[VECTOR]))[KEY]
        some = both.filter(pl.col(KEY).is_in(chosen.implode()))
        stored = self._index.stored(some[KEY].to_list())
        whole = some.join(stored, on=[KEY, ROW_HASH, TEXT_HASH], how="semi")
        other, compared = of_other_texts(self._opened, whole, whole[TEXT].to_list())
        self._embedded += len(compared)
        keys = pl.concat([unusable, whole[KEY].gather(other)])
        return pl.DataFrame([keys, pl.repeat(THE_VECTOR, len(keys), eager=True).alias(NAME)])
