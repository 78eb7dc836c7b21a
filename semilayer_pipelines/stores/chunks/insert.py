"""Writing the chunks of rows beside those that are there."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from semilayer_pipelines.errors import ObjectsRejected
from semilayer_pipelines.stores.chunks.versions import parsed
from semilayer_pipelines.stores.protocol import KEY, Index

__all__ = ["insert"]


def insert(chunks: Index, pieces: pl.DataFrame, *, replacing: bool) -> dict[str, str]:
    """Write chunks beside those that are there; return the rows at fault, and why.

    Under the lock of `chunks`. `replacing` says that other chunks of these rows go afterwards.
    """
    rejected: Mapping[str, str] = {}
    # A killed run may have left some of them, of a version that no row has. A server may have
    # stored one and not indexed its vector, which writing over it would not mend.
    left = chunks.fetch(pieces[KEY].to_list(), vectors=False)[KEY]
    if len(left):
        chunks.delete(left.to_list())
    try:
        chunks.add(pieces)
    except ObjectsRejected as some:
        rejected = some.reasons
    if replacing:
        # A store that indexes after writing would show neither these nor those they replace.
        chunks.settle()
    of = parsed(pl.Series(KEY, list(rejected), dtype=pl.String))
    return dict(zip(of[KEY].to_list(), rejected.values(), strict=True))
