"""Two small numbers for each object, whose sums prove what a collection holds.

They follow from the key and the hashes, so they change with every row that comes, goes or changes.
The server adds them up a hundred times faster than it reads the objects. Sums that agree by chance
are one in 2^52.
"""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH
from semilayer_pipelines.stores.weaviate.schema import CHECKS

__all__ = ["BITS", "with_checks"]

BITS = 26
"""Of each number; the server adds in doubles, which are exact below 2^53."""


def with_checks(objects: pl.DataFrame) -> pl.DataFrame:
    """Add `CHECKS`, Int64 below 2^26, to a frame with KEY, ROW_HASH and TEXT_HASH."""
    parts = (objects[name].to_list() for name in (KEY, ROW_HASH, TEXT_HASH))
    whole = pl.Series([_number(*row) for row in zip(*parts, strict=True)], dtype=pl.Int64)
    low, high = (name for name in CHECKS)
    return objects.with_columns((whole % 2**BITS).alias(low), (whole // 2**BITS).alias(high))


def _number(key: str, row_hash: bytes, text_hash: bytes) -> int:
    digest = blake2b(row_hash + text_hash + key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - 2 * BITS)
