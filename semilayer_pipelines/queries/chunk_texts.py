"""The texts of the chunks that a search found, from the rows that they are of."""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.mapping.typed import plain_text, settled
from semilayer_pipelines.stores.chunks.protocol import CHUNK

__all__ = ["chunk_texts"]


def chunk_texts(found: pl.DataFrame) -> pl.Series:
    """Return the text (String) of the chunk of each row, null for a row without one.

    Positions count the characters of a field as it was embedded: a list as one text.
    """
    place = pl.col(CHUNK).struct
    cut = found[CHUNK].struct.field("field").drop_nulls().unique().to_list()
    texts = [
        pl.when(place.field("field") == name).then(plain_text(settled(pl.col(name), dtype)))
        for name, dtype in found.select(cut).schema.items()
    ]
    start, end = place.field("start"), place.field("end")
    whole = pl.coalesce([*texts, pl.lit(None, pl.String)])
    return found.select(whole.str.slice(start, end - start).alias("text")).to_series()
