"""Two small numbers for each object, whose sums prove what a collection holds.

They follow from the key, the hashes and the time of the vector. So they change with every row that
comes, goes or changes, and with every vector that is written again.
The server adds them up a hundred times faster than it reads the objects. Sums that agree by chance
are one in 2^52.
"""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH
from semilayer_pipelines.stores.weaviate.schema import CHECKS, VECTOR_AT

__all__ = ["BITS", "with_checks"]

BITS = 26
"""Of each number; the server adds in doubles, which are exact below 2^53."""


def with_checks(objects: pl.DataFrame) -> pl.DataFrame:
    """Add `CHECKS`, Int64 below 2^26, to a frame with KEY, both hashes and VECTOR_AT."""
    parts = (objects[name].to_list() for name in (KEY, ROW_HASH, TEXT_HASH, VECTOR_AT))
    whole = pl.Series([_number(*row) for row in zip(*parts, strict=True)], dtype=pl.Int64)
    low, high = (name for name in CHECKS)
    return objects.with_columns((whole % 2**BITS).alias(low), (whole // 2**BITS).alias(high))


def _number(key: str, row_hash: bytes, text_hash: bytes, vector_at: int) -> int:
    told = row_hash + text_hash + vector_at.to_bytes(8, signed=True) + key.encode()
    digest = blake2b(told, digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - 2 * BITS)
