"""Whether stored values are those that a row gives: fields, and vectors of texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.ingest.embed import embed_page
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.stores.protocol import VECTOR, IndexField

__all__ = ["STORED", "differs", "of_other_texts", "unlike", "usable"]

SAME_VECTOR = 0.97
"""Least cosine of two vectors of one text, as of int8 beside float32 (see `local.probe`)."""

STORED = "\0stored"
"""Ends the names of columns that were read back."""


def differs(field: IndexField, dtype: pl.DataType) -> pl.Expr:
    """Say (Boolean) where the column of a field that ends in `STORED` is not what its row gives."""
    ours, stored = pl.col(field.name).cast(dtype), pl.col(field.name + STORED)
    if field.array:
        # A store may keep neither nulls in a list nor an empty one.
        ours, stored = _plain(ours), _plain(stored)
    return ours.ne_missing(stored)


def usable(vectors: pl.Series) -> pl.Series:
    """Say which vectors a search can compare with: finite, and not zero."""
    numbers = vectors.to_numpy()
    return pl.Series(np.isfinite(numbers).all(axis=1) & (numbers != 0).any(axis=1))


def unlike(ones: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say which vectors cannot be of the same text as those in the same places."""
    if ones.shape != others.shape:
        return np.ones(len(ones), dtype=np.bool_)
    a, b = ones.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine: NDArray[np.float64] = (a * b).sum(axis=1) / lengths
    return np.nan_to_num(cosine, nan=0.0) < SAME_VECTOR


def of_other_texts(
    opened: OpenLens, stored: pl.DataFrame, texts: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Embed the texts; return where VECTOR is of another one, and where it was compared at all.

    Raises what the embedder raises.
    """
    if not len(texts):
        return [], []
    made = embed_page(opened.embedder, texts)
    compared = np.asarray(made.kept)
    other = unlike(stored[VECTOR].to_numpy()[compared], made.vectors)
    return compared[other].tolist(), compared.tolist()


def _plain(values: pl.Expr) -> pl.Expr:
    kept = values.list.drop_nulls()
    return pl.when(kept.list.len() > 0).then(kept)
