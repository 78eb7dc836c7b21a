"""What every store checks of a frame of objects before it writes one of them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from semilayer_pipelines.one_model import require_dimension
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    WORDS,
    IndexSchema,
)

__all__ = ["OWN_COLUMNS", "check_objects", "object_columns"]

OWN_COLUMNS = (KEY, SHARD, ROW_HASH, TEXT_HASH, INDEXED_AT, VECTOR)
_REQUIRED = (KEY, ROW_HASH, TEXT_HASH, INDEXED_AT, VECTOR)


def object_columns(schema: IndexSchema) -> list[str]:
    """Return the columns of a frame of objects: the store's own, then the fields in their order."""
    words = [WORDS] if schema.words else []
    return [*OWN_COLUMNS, *words, *(field.name for field in schema.fields)]


def check_objects(objects: pl.DataFrame, columns: Sequence[str], dimension: int) -> None:
    """Check a frame against an index.

    Raises `DimensionChanged` when the vectors have another length than the index's, and
    `ValueError` when columns are missing or unknown, a required value is null, or a key is there
    twice.
    """
    missing = [name for name in columns if name not in objects.columns]
    unknown = [name for name in objects.columns if name not in columns]
    if missing or unknown:
        raise ValueError(f"objects do not fit the index: missing {missing}, unknown {unknown}")
    _check_vectors(objects, dimension)
    keys = objects[KEY]
    if keys.is_duplicated().any():
        twice = keys.filter(keys.is_duplicated()).unique().head(5).to_list()
        raise ValueError(f"keys must be distinct within a frame; more than once: {twice}")
    for name in _REQUIRED:
        if objects[name].null_count():
            raise ValueError(f"column {name!r} holds nulls")


def _check_vectors(objects: pl.DataFrame, dimension: int) -> None:
    match objects.schema[VECTOR]:
        case pl.Array(inner=pl.Float32, shape=(width,)) if width == dimension:
            return
        case pl.Array(shape=(width,)) if width != dimension:
            require_dimension(width, dimension, giver="The objects have vectors of")
        case other:
            raise ValueError(f"{VECTOR} must be Array(Float32, {dimension}), not {other}")
