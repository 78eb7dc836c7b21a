"""The nearest rows of a Lance table, as many as were asked for and match.

Lance applies a condition before it searches the vector index. But it looks into a fixed number of
the index's partitions unless told otherwise, and rows in the others are not found. So all of them
are searched, always: their vectors are kept in four bits a number, and a million take 30 ms. The
best are then ranked by their own vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from semilayer_pipelines.stores.protocol import VECTOR

__all__ = ["DISTANCE", "nearest"]

DISTANCE = "_distance"  # Lance's name for it

_EVERY_PARTITION = 1_000_000  # more than a table has
_NO_MAXIMUM = 0
_RANKED_AGAIN = 4  # times the limit; the approximate order is wrong by less


def nearest(
    table: Any,
    vector: Sequence[float],
    *,
    limit: int,
    columns: Sequence[str],
    condition: str | None,
    indexed: bool = True,
) -> pl.DataFrame:
    """Return `columns` and DISTANCE (cosine, 0 to 2) of the nearest rows under an SQL condition.

    There are `limit` of them, or as many as match. Without `indexed` the vector index is not
    asked; what no index covers is compared row by row anyway.
    """
    query = table.search(
        [float(number) for number in vector], vector_column_name=VECTOR, query_type="vector"
    ).distance_type("cosine")
    if indexed:
        query = query.minimum_nprobes(_EVERY_PARTITION).maximum_nprobes(_NO_MAXIMUM)
        query = query.refine_factor(_RANKED_AGAIN)
    else:
        query = query.bypass_vector_index()
    if condition is not None:
        query = query.where(condition, prefilter=True)
    found = query.limit(limit).select([*columns, DISTANCE]).to_arrow()
    return pl.DataFrame(pl.from_arrow(found))
