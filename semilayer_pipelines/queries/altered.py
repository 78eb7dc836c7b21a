"""Objects whose hashes are those of their rows, while their fields or vectors are not.

Our own writes bring in all of a row together. A hand, a copy of an index or a fault of the store
does not, and no comparison of hashes sees it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.ingest.embed import embed_page
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.stored_fields import as_stored
from semilayer_pipelines.ingest.texts import texts_seen
from semilayer_pipelines.mapping.mapped import TEXT
from semilayer_pipelines.queries.sample import Sample
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    TEXT_HASH,
    VECTOR,
    IndexField,
)

__all__ = ["ALTERED_IN", "EMBEDDED", "THE_VECTOR", "Altered"]

EMBEDDED = 200
"""Rows of which the text is embedded, to compare vectors with, unless a sample says otherwise."""

SAME_VECTOR = 0.97
"""Least cosine of two vectors of one text, as of int8 beside float32 (see `local.probe`)."""

READ_AT_ONCE = 1_000
"""Objects that are read back together, vectors and all."""

THE_VECTOR = "vector"
ALTERED_IN = "altered in"

_STORED, _NO_VECTOR = "\0stored", "\0no vector"


class Altered:
    """Reads objects back and compares them; of `embedded` of `rows` the text is embedded too."""

    def __init__(self, opened: OpenLens, index: RowIndex, *, rows: int, embedded: int) -> None:
        self._opened = opened
        self._index = index
        self._sample = Sample(embedded, rows)
        self.read = 0
        self.embedded = 0

    def find(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield (KEY, ALTERED_IN) of the objects of mapped rows that differ from them.

        ALTERED_IN is a list of the names of fields, and `THE_VECTOR` last. An object whose hashes
        are not those of its row is left to the comparison of hashes. Raises what embedder and store
        raise.
        """
        for part in rows.iter_slices(READ_AT_ONCE):
            yield self._of(part)

    def _of(self, rows: pl.DataFrame) -> pl.DataFrame:
        fields = self._index.schema.fields
        names = [field.name for field in fields]
        stored = self._index.fetch(rows[KEY].to_list(), vectors=True, also=names)
        stored = stored.with_columns(pl.Series(_NO_VECTOR, ~_usable(stored[VECTOR])))
        both = as_stored(rows, self._index.schema).join(
            stored, on=[KEY, ROW_HASH, TEXT_HASH], suffix=_STORED, maintain_order="left"
        )
        chosen = self._sample.among(rows.height)
        other = self._made_of_another_text(both.join(rows[chosen].select(KEY), on=KEY, how="semi"))
        self.read += both.height
        marks = [_differs(field, stored.schema[field.name]) for field in fields]
        of_vector = pl.col(_NO_VECTOR) | pl.col(KEY).is_in(other.implode())
        marks.append(pl.when(of_vector).then(pl.lit(THE_VECTOR)))
        differing = both.select(KEY, pl.concat_list(marks).list.drop_nulls().alias(ALTERED_IN))
        return differing.filter(pl.col(ALTERED_IN).list.len() > 0).unique(KEY, maintain_order=True)

    def _made_of_another_text(self, rows: pl.DataFrame) -> pl.Series:
        """Embed a text of each of some rows; return the keys of those whose vectors are others.

        The text of a row that is cut is that of any of its chunks.
        """
        if not rows.height:
            return pl.Series(KEY, [], dtype=pl.String)
        texts = texts_seen(self._opened, rows).frame
        chosen = texts.select(KEY, TEXT_HASH, TEXT).sample(fraction=1.0, shuffle=True).unique(KEY)
        held = self._index.held(rows[KEY].to_list()).unique([KEY, TEXT_HASH])
        both = chosen.join(held, on=[KEY, TEXT_HASH])
        made = embed_page(self._opened.embedder, both[TEXT].to_list())
        self.embedded += len(made.kept)
        stored = both[VECTOR].to_numpy()[made.kept]
        return (
            both[KEY]
            .gather(made.kept)
            .filter(pl.Series(_cosine(stored, made.vectors) < SAME_VECTOR))
        )


def _usable(vectors: pl.Series) -> NDArray[np.bool_]:
    """Say which vectors a search can compare with: finite, and not zero."""
    numbers = vectors.to_numpy()
    usable: NDArray[np.bool_] = np.isfinite(numbers).all(axis=1) & (numbers != 0).any(axis=1)
    return usable


def _cosine(ones: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    if ones.shape != others.shape:
        return np.zeros(len(ones))
    a, b = ones.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine: NDArray[np.float64] = (a * b).sum(axis=1) / lengths
    return np.nan_to_num(cosine, nan=0.0)


def _differs(field: IndexField, dtype: pl.DataType) -> pl.Expr:
    """Return the name of the field where what is stored is not what the row gives; else null."""
    ours, stored = pl.col(field.name).cast(dtype), pl.col(field.name + _STORED)
    if field.array:
        # A store may keep neither nulls in a list nor an empty one.
        ours, stored = _plain(ours), _plain(stored)
    return pl.when(ours.ne_missing(stored)).then(pl.lit(field.name))


def _plain(values: pl.Expr) -> pl.Expr:
    kept = values.list.drop_nulls()
    return pl.when(kept.list.len() > 0).then(kept)
