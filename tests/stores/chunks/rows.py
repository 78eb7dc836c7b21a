"""Rows for the tests of chunks: a title, a body that may be cut, a section and a list of tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.chunks.protocol import CHUNKS, END, FIELD, START, chunks_type
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    IndexField,
    IndexSchema,
)
from tests.stores.objects import AT, DIMENSION, hash_of, vector_of

SCHEMA = IndexSchema(
    (
        IndexField("title", FieldType.TEXT),
        IndexField("body", FieldType.TEXT),
        IndexField("section", FieldType.TEXT),
        IndexField("tags", FieldType.TEXT, array=True),
        IndexField("size", FieldType.NUMBER, integer=True),
    ),
    DIMENSION,
)


def text_vector(text: str) -> NDArray[np.float32]:
    """Return the vector of a text: equal texts have equal ones."""
    vector = vector_of(int.from_bytes(hash_of(text)[:4]))
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def body_of(*parts: str) -> str:
    """Return a body that is longer than the objects of chunks hold, of parts of equal length."""
    return "".join(part.ljust(100, ".") for part in parts)


def rows(
    bodies: Mapping[str, str | Sequence[str]],
    *,
    title: str = "a title",
    section: str = "web",
    shard: int | None = 0,
) -> pl.DataFrame:
    """Return rows by key: a body is a text, which is left whole, or the parts that it is cut in."""
    keys, given = list(bodies), list(bodies.values())
    texts = [one if isinstance(one, str) else body_of(*one) for one in given]
    first = [one if isinstance(one, str) else body_of(one[0]) for one in given]
    cut = [None if isinstance(one, str) else _chunks(one) for one in given]
    hashed = [
        hash_of(f"{key}{title}{section}{text}") for key, text in zip(keys, texts, strict=True)
    ]
    return pl.DataFrame(
        {
            KEY: pl.Series(keys, dtype=pl.String),
            SHARD: pl.Series([shard] * len(keys), dtype=pl.Int32),
            ROW_HASH: hashed,
            TEXT_HASH: [hash_of(text) for text in texts],
            INDEXED_AT: pl.Series([AT] * len(keys), dtype=pl.Datetime("us", "UTC")),
            VECTOR: pl.Series(
                np.array([text_vector(text) for text in first]),
                dtype=pl.Array(pl.Float32, DIMENSION),
            ),
            "title": pl.Series([title] * len(keys), dtype=pl.String),
            "body": pl.Series(texts, dtype=pl.String),
            "section": pl.Series([section] * len(keys), dtype=pl.String),
            "tags": pl.Series([[section, "all"]] * len(keys), dtype=pl.List(pl.String)),
            "size": pl.Series([len(text) for text in texts], dtype=pl.Int64),
            CHUNKS: pl.Series(cut, dtype=chunks_type(DIMENSION)),
        }
    )


def _chunks(parts: Sequence[str]) -> list[dict[str, object]]:
    return [
        {
            TEXT_HASH: hash_of(body_of(part)),
            FIELD: "body",
            START: at * 100,
            END: at * 100 + 100,
            VECTOR: text_vector(body_of(part)),
        }
        for at, part in enumerate(parts)
    ]


def hashes(frame: pl.DataFrame) -> list[tuple[str, bytes, bytes]]:
    """Return what is compared of rows, in the order of their keys."""
    return sorted(frame.select(KEY, ROW_HASH, TEXT_HASH).iter_rows())


def near(part: str) -> list[float]:
    """Return the vector of a search for just this part of a body."""
    return [float(number) for number in text_vector(body_of(part))]
