"""The text of a chunk that was found, from its row's field and the places that the index keeps."""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.mapping.typed import plain_text, settled
from semilayer_pipelines.stores.chunks.protocol import CHUNK

__all__ = ["chunk_texts"]


def chunk_texts(found: pl.DataFrame) -> pl.Series:
    """Return the text of each row's chunk, null for a row that was not cut; String.

    `found` has CHUNK and the fields. Positions count the characters of a field as it was embedded:
    a list as one text.
    """
    place = pl.col(CHUNK).struct
    cut = found[CHUNK].struct.field("field").drop_nulls().unique().to_list()
    texts = [
        pl.when(place.field("field") == name).then(plain_text(settled(pl.col(name), dtype)))
        for name, dtype in found.select(cut).schema.items()
    ]
    start, end = place.field("start"), place.field("end")
    whole = pl.coalesce([*texts, pl.lit(None, pl.String)])
    told = found.select(
        pl.when(pl.col(CHUNK).is_not_null()).then(whole.str.slice(start, end - start).fill_null(""))
    )
    return told.to_series()
