"""Chunks of no row as it is now, which no search shows.

A writer that died leaves them, and so does whoever deletes the object of a row by hand.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from semilayer_pipelines.stores.chunks.held import groups
from semilayer_pipelines.stores.chunks.versions import VERSION, parsed, versions
from semilayer_pipelines.stores.protocol import KEY, Index

__all__ = ["CHUNK_KEY", "leftovers"]

CHUNK_KEY = "_chunk_key"  # String: the key of the chunk's own object


def leftovers(main: Index, chunks: Index, among: pl.Series) -> Iterator[pl.DataFrame]:
    """Yield KEY (of the row) and CHUNK_KEY of chunks whose row is gone, or of another version.

    `among` are the groups (`held.groups`) that are looked at. An object that is no chunk has its
    own key for KEY.
    """
    for frame in chunks.scan(hashes=False):
        keys = frame[KEY].filter(groups(frame[KEY]).is_in(among.implode()))
        if keys.is_empty():
            continue
        of = parsed(keys).with_columns(keys.alias(CHUNK_KEY))
        rows = main.fetch(of[KEY].drop_nulls().unique().to_list(), vectors=False)
        now = rows.select(KEY, versions(rows))
        left = of.join(now, on=[KEY, VERSION], how="anti")
        yield left.select(pl.coalesce(KEY, CHUNK_KEY), CHUNK_KEY)
