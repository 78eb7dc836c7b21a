"""The texts of the chunks that a search found, which no store keeps: they are read from the row."""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.mapping.typed import plain_text, settled
from semilayer_pipelines.stores.chunks.protocol import CHUNK
from semilayer_pipelines.stores.chunks.search import CHUNK_TYPE

__all__ = ["TOLD_CHUNK_TYPE", "with_chunk_texts"]

TOLD_CHUNK_TYPE = pl.Struct([pl.Field("text", pl.String()), *CHUNK_TYPE.fields])


def with_chunk_texts(found: pl.DataFrame) -> pl.DataFrame:
    """Return rows that were found with the text of each CHUNK as well, of `TOLD_CHUNK_TYPE`.

    Positions count the characters of a field as it was embedded: a list as one text.
    """
    place = pl.col(CHUNK).struct
    cut = found[CHUNK].struct.field("field").drop_nulls().unique().to_list()
    fields = [
        pl.when(place.field("field") == name).then(plain_text(settled(pl.col(name), dtype)))
        for name, dtype in found.select(cut).schema.items()
    ]
    start, end = place.field("start"), place.field("end")
    text = pl.coalesce([*fields, pl.lit(None, pl.String)]).str.slice(start, end - start)
    told = pl.struct(text.fill_null("").alias("text"), *map(place.field, CHUNK_TYPE.to_schema()))
    whole = pl.when(pl.col(CHUNK).is_not_null()).then(told)
    return found.with_columns(whole.cast(TOLD_CHUNK_TYPE).alias(CHUNK))
