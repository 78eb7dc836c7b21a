"""Schemas and objects for the store tests, small and predictable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5

import numpy as np
import polars as pl

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    WORDS,
    IndexField,
    IndexSchema,
)

DIMENSION = 8
AT = datetime(2026, 1, 31, 12, 30, 15, 123456, tzinfo=UTC)
ONE_FIELD = IndexSchema((IndexField("title", FieldType.TEXT),), DIMENSION)


ONE_FIELD_AND_WORDS = IndexSchema(ONE_FIELD.fields, DIMENSION, words=True)


def hash_of(text: str) -> bytes:
    return md5(text.encode(), usedforsecurity=False).digest()


def vector_of(seed: int, dimension: int = DIMENSION) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)


def objects(
    keys: Sequence[str],
    *,
    title: str = "a title",
    shard: int | None = 0,
    vectors: np.ndarray | None = None,
    dimension: int = DIMENSION,
) -> pl.DataFrame:
    """Return objects of `ONE_FIELD`; a key's vector and hashes follow from key and title."""
    if vectors is None:
        seeds = [int.from_bytes(hash_of(key)[:4]) for key in keys]
        vectors = np.array([vector_of(seed, dimension) for seed in seeds], dtype=np.float32)
    return pl.DataFrame(
        {
            KEY: pl.Series(list(keys), dtype=pl.String),
            SHARD: pl.Series([shard] * len(keys), dtype=pl.Int32),
            ROW_HASH: pl.Series([hash_of(key + title) for key in keys], dtype=pl.Binary),
            TEXT_HASH: pl.Series([hash_of(title) for _ in keys], dtype=pl.Binary),
            INDEXED_AT: pl.Series([AT] * len(keys), dtype=pl.Datetime("us", "UTC")),
            VECTOR: pl.Series(
                vectors.reshape(len(keys), dimension), dtype=pl.Array(pl.Float32, dimension)
            ),
            "title": pl.Series([title] * len(keys), dtype=pl.String),
        }
    )


def worded(words: Mapping[str, str | None], *, title: str = "a title") -> pl.DataFrame:
    """Return objects of `ONE_FIELD_AND_WORDS`: the words of each key."""
    frame = objects(list(words), title=title)
    return frame.with_columns(pl.Series(WORDS, list(words.values()), dtype=pl.String))


def names(count: int, start: int = 0) -> list[str]:
    return [f"key-{number:06d}" for number in range(start, start + count)]
