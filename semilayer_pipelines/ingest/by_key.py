"""Comparing just the rows of a page with the index, by their keys."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.ingest.page import Comparison, Page
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH, Index

__all__ = ["ByKey", "compare_by_key"]

_INDEXED = "_indexed"


@dataclass(frozen=True)
class ByKey:
    """The choice for a page that nothing has to be committed with."""

    target: Target
    cover = None

    def compare(self, page: Page, mapped: Mapped) -> Comparison:
        """Look the keys of the page up in the generation's own index."""
        return compare_by_key(self.target.index, mapped)

    def reuse_from(self) -> Index | None:
        """Take vectors over from the generation's own index."""
        return self.target.index


def compare_by_key(index: Index | None, mapped: Mapped) -> Comparison:
    """Compare mapped rows with the index by looking just their keys up."""
    if index is None:
        nothing = pl.repeat(False, mapped.frame.height, eager=True)
        return Comparison(known=nothing, same=nothing)
    found = index.fetch(mapped.frame[KEY].to_list(), vectors=False)
    have = found.unique(KEY, keep="any")
    doubled = found[KEY].filter(found[KEY].is_duplicated())
    joined = mapped.frame.select(KEY, ROW_HASH, TEXT_HASH).join(
        have.select(KEY, ROW_HASH, TEXT_HASH),
        on=KEY,
        how="left",
        suffix=_INDEXED,
        maintain_order="left",
    )
    known = joined[ROW_HASH + _INDEXED].is_not_null()
    same = known
    for name in (ROW_HASH, TEXT_HASH):
        same = same & (joined[name] == joined[name + _INDEXED]).fill_null(False)
    same = same & ~joined[KEY].is_in(doubled.implode())
    return Comparison(known, same, doubled.unique())
