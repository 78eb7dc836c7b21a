"""The objects of chunks: what they hold of their rows, so that conditions can be asked of them.

A text that was cut would be kept once for each of its chunks. So texts longer than `SHORT` are left
out. A condition on such a field is asked of the chunks only where that can lose none of them, and
then checked against the rows themselves.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.chunks.protocol import CHUNKS, END, FIELD, OF, ORDINAL, START
from semilayer_pipelines.stores.chunks.versions import (
    LEAF,
    VERSION,
    as_stored,
    chunk_keys,
    leaves,
    turned,
    versions,
)
from semilayer_pipelines.stores.frames import object_columns
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    TEXT_HASH,
    VECTOR,
    IndexField,
    IndexSchema,
)

__all__ = [
    "OF_CHUNKS",
    "ROW",
    "SHORT",
    "chunk_schema",
    "held_of_rows",
    "in_two",
    "stored_hashes",
    "text_fields",
    "without_chunks",
]

ROW = "_row"  # UInt32: position of a chunk's row

SHORT = 256
"""Characters of the longest text that is kept with each chunk, and read before it by a reranker."""

_TEXTS = (FieldType.TEXT, FieldType.ENUM, FieldType.JSON)
OF_CHUNKS = (
    IndexField(OF, FieldType.NUMBER, integer=True),
    IndexField(FIELD, FieldType.TEXT),
    IndexField(START, FieldType.NUMBER, integer=True),
    IndexField(END, FieldType.NUMBER, integer=True),
)
"""What chunks hold beside the fields of their rows: their places, and how many there are."""


def chunk_schema(rows: IndexSchema) -> IndexSchema:
    """Return what the objects of the chunks of such rows look like."""
    return IndexSchema((*rows.fields, *OF_CHUNKS), rows.dimension, rows.tenant)


def text_fields(rows: IndexSchema) -> list[IndexField]:
    """Return the fields that the objects of chunks may lack."""
    return [each for each in rows.fields if each.type in _TEXTS and each.name != rows.tenant]


def in_two(
    objects: pl.DataFrame, before: pl.DataFrame, schema: IndexSchema
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the objects of rows as they are stored, and those of their chunks.

    `objects` has CHUNKS; `before` has KEY and VERSION of what is stored of these rows. No row that
    was cut keeps its version.
    """
    cut = objects[CHUNKS].is_not_null()
    split = objects.filter(cut)
    flat = _flat(split)
    hashes = split[ROW_HASH]
    stored = stored_hashes(split, flat)
    again = _named(split, stored).join(before, on=[KEY, VERSION], how="semi")
    if again.height:
        same = split[KEY].is_in(again[KEY].implode())
        hashes = hashes.zip_with(~same, turned(hashes))
        stored = stored_hashes(split.with_columns(hashes), flat)
    texts = objects[TEXT_HASH].to_list()
    for at, text in zip(cut.arg_true().to_list(), stored.to_list(), strict=True):
        texts[at] = text
    rows = objects.drop(CHUNKS).with_columns(pl.Series(TEXT_HASH, texts, dtype=pl.Binary))
    named = _named(split, stored)
    return rows, _chunk_objects(split.with_columns(hashes, named[VERSION]), flat, schema)


def without_chunks(objects: pl.DataFrame) -> pl.DataFrame | None:
    """Return the rows of a frame in which none was cut, as stores take them; `None` for others."""
    if CHUNKS not in objects.columns:
        return objects
    return None if objects[CHUNKS].is_not_null().any() else objects.drop(CHUNKS)


def stored_hashes(rows: pl.DataFrame, flat: pl.DataFrame) -> pl.Series:
    """Return TEXT_HASH as it is stored of `rows` (ROW_HASH, TEXT_HASH), each of which was cut.

    `flat` has one line a chunk, in the order of the rows: ROW, the position of its row, ORDINAL and
    TEXT_HASH.
    """
    of_chunks = flat.select(ORDINAL, TEXT_HASH, rows[ROW_HASH].gather(flat[ROW]))
    summed = flat.select(ROW, leaves(of_chunks)).group_by(ROW, maintain_order=True)
    return as_stored(rows[TEXT_HASH], summed.agg(pl.col(LEAF).sum())[LEAF])


def _named(split: pl.DataFrame, stored: pl.Series) -> pl.DataFrame:
    rows = split.select(KEY, ROW_HASH).with_columns(stored)
    return rows.select(KEY, versions(rows))


def _flat(split: pl.DataFrame) -> pl.DataFrame:
    """Return one line a chunk: the fields of CHUNKS, ROW, ORDINAL and OF."""
    lengths = split[CHUNKS].list.len().to_numpy()
    starts = np.cumsum(lengths) - lengths
    flat = split[CHUNKS].explode().struct.unnest()
    places = np.arange(flat.height) - np.repeat(starts, lengths)
    return flat.with_columns(
        pl.Series(ROW, np.repeat(np.arange(split.height), lengths), dtype=pl.UInt32),
        pl.Series(ORDINAL, places, dtype=pl.UInt32),
        pl.Series(OF, np.repeat(lengths, lengths), dtype=pl.Int64),
    )


def held_of_rows(rows: pl.DataFrame, flat: pl.DataFrame, schema: IndexSchema) -> pl.DataFrame:
    """Return chunks with what they hold of their rows: the columns of both.

    `flat` has one line a chunk, with ROW, the position of its row.
    """
    short = rows.with_columns(_only_short(field) for field in text_fields(schema))
    return pl.concat([short[flat[ROW]], flat], how="horizontal")


def _chunk_objects(rows: pl.DataFrame, flat: pl.DataFrame, schema: IndexSchema) -> pl.DataFrame:
    """Return the objects of the chunks of rows with VERSION."""
    whole = held_of_rows(rows.drop(CHUNKS, TEXT_HASH, VECTOR), flat, schema)
    keyed = whole.with_columns(chunk_keys(whole), pl.col(START, END).cast(pl.Int64))
    return keyed.select(object_columns(chunk_schema(schema)))


def _only_short(field: IndexField) -> pl.Expr:
    column = pl.col(field.name)
    length = (column.list.join("") if field.array else column).str.len_chars()
    return pl.when(length <= SHORT).then(column)
