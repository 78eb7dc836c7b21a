"""Vectors of two lengths never meet in one index (invariant 9): what every store checks of it."""

from __future__ import annotations

from collections.abc import Sequence

from semilayer_pipelines.errors import DimensionChanged
from semilayer_pipelines.stores.protocol import Index, IndexSchema

__all__ = ["check_index", "check_query"]


def check_index(index: Index, asked: IndexSchema) -> None:
    """Raise `DimensionChanged` when an index that was there already is not as long as asked."""
    if index.dimension != asked.dimension:
        raise DimensionChanged(
            f"index {index.name} holds vectors of {index.dimension} numbers, not "
            f"{asked.dimension}.",
            cure="Rebuild the lens: its model or dimension changed.",
        )


def check_query(index: Index, vector: Sequence[float]) -> None:
    """Raise `DimensionChanged` when a vector cannot be searched for in an index."""
    if len(vector) != index.dimension:
        raise DimensionChanged(
            f"the query has {len(vector)} numbers, the index holds {index.dimension}.",
            cure="Embed the query with the model the lens was built with.",
        )
