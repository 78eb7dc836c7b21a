"""Three small numbers for each object, whose sums prove what a collection holds.

They follow from the key, the hashes and the time of the vector. So they change with every row that
comes, goes or changes, and with every vector that is written again.
The server adds them up a hundred times faster than it reads the objects. Sums that agree by chance
are one in 2^33.

The server keeps for each value which objects have it, and adds up value by value. So three numbers
of two thousand values each are added up faster than one of which each object has another.
"""

from __future__ import annotations

from hashlib import blake2b

import polars as pl

from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH
from semilayer_pipelines.stores.weaviate.schema import CHECKS, VECTOR_AT

__all__ = ["BITS", "with_checks"]

BITS = 11
"""Of each number; the server adds in doubles, which are exact below 2^53."""


def with_checks(objects: pl.DataFrame) -> pl.DataFrame:
    """Add `CHECKS`, Int64 below 2^`BITS`, to a frame with KEY, both hashes and VECTOR_AT."""
    parts = (objects[name].to_list() for name in (KEY, ROW_HASH, TEXT_HASH, VECTOR_AT))
    whole = pl.Series([_number(*row) for row in zip(*parts, strict=True)], dtype=pl.Int64)
    return objects.with_columns(
        (whole // 2 ** (BITS * at) % 2**BITS).alias(name) for at, name in enumerate(CHECKS)
    )


def _number(key: str, row_hash: bytes, text_hash: bytes, vector_at: int) -> int:
    told = row_hash + text_hash + vector_at.to_bytes(8, signed=True) + key.encode()
    digest = blake2b(told, digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - len(CHECKS) * BITS)
