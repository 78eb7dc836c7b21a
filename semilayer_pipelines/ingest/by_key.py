"""Comparing just the rows of a page with the index, by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from semilayer_pipelines.ingest.decision import indexed
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH, Index

__all__ = ["ByKey", "all_of", "compare_by_key"]

_INDEXED = "_indexed"


@dataclass(frozen=True)
class ByKey:
    """The choice for a page that nothing has to be committed with."""

    target: Target
    cover = None

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        """Look the keys of the page up in the generation's own index."""
        return compare_by_key(self.target.index, mapped)

    def may_hold(self, keys: pl.Series) -> pl.Series:
        """Say of every key that the index can have it."""
        return all_of(keys)

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Take all of them out."""
        return keys

    def reuse_from(self) -> RowIndex | None:
        """Take vectors over from the generation's own index."""
        return self.target.index


def all_of(keys: pl.Series) -> pl.Series:
    """Say yes of every key: without a look at the index, it can have any of them; Boolean."""
    return pl.repeat(True, len(keys), eager=True)


def compare_by_key(index: Index | None, mapped: Mapped) -> pl.Series:
    """Return a Series of `Indexed` for mapped rows by looking just their keys up."""
    if index is None:
        nothing = np.zeros(mapped.frame.height, dtype=np.bool_)
        return indexed(nothing, nothing, nothing)
    found = index.fetch(mapped.frame[KEY].to_list(), vectors=False)
    doubled = found[KEY].filter(found[KEY].is_duplicated())
    joined = mapped.frame.select(KEY, ROW_HASH, TEXT_HASH).join(
        found.unique(KEY, keep="any").select(KEY, ROW_HASH, TEXT_HASH),
        on=KEY,
        how="left",
        suffix=_INDEXED,
        maintain_order="left",
    )
    same = pl.all_horizontal(
        pl.col(name) == pl.col(name + _INDEXED) for name in (ROW_HASH, TEXT_HASH)
    )
    masks = joined.select(
        known=pl.col(ROW_HASH + _INDEXED).is_not_null(),
        same=same.fill_null(False),
        twice=pl.col(KEY).is_in(doubled.implode()),
    )
    return indexed(*(mask.to_numpy() for mask in masks))
