"""Counting an index, once for all who want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports Polars, which `semilayer status` need not wait for
    from semilayer_pipelines.stores.chunks.protocol import RowIndex
    from semilayer_pipelines.stores.lance.kept_facts import KeptFacts

__all__ = ["count_index"]


def count_index(index: RowIndex, kept: KeptFacts | None) -> tuple[int, int]:
    """Count the rows and the vectors of an index, and keep what it holds where there is a place.

    Raises what the store raises (`Index`).
    """
    # Before counting: the numbers are then never older than what they are said of.
    token = None if kept is None else index.content_token()
    rows, vectors = index.count(), index.vectors()
    if kept is not None and token is not None:
        kept.keep(index.name, token, rows, vectors, index.schema)
    return rows, vectors
