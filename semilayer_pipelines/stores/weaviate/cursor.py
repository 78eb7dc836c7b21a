"""Reading the object store itself, page after page: this needs none of the server's indexes.

A crash may leave objects that are stored and counted, and in no index, not in that of ids either.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import polars as pl

from semilayer_pipelines.stores.patience import threads
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, ROW_HASH, SHARD, TEXT_HASH
from semilayer_pipelines.stores.weaviate.found import hashes, whole_numbers
from semilayer_pipelines.stores.weaviate.ids import slots_of
from semilayer_pipelines.stores.weaviate.placing import SLOT
from semilayer_pipelines.stores.weaviate.side_by_side import side_by_side

__all__ = ["ID", "SCAN_PAGE", "page", "scanned", "stored"]

ID = "_id"  # String: the server's id of an object, in what a scan yields

SCAN_PAGE = 5_000
"""Objects per page of a scan; the server takes at most 10,000, and its own default is 100."""

_AT_ONCE = 4  # objects that are asked for one by one


def page(
    collection: Any,
    after: str | None,
    asked: list[str],
    *,
    limit: int = SCAN_PAGE,
    vectors: bool = False,
) -> Callable[[], Any]:
    """Return the question for the objects whose ids come after one, in the ids' order."""
    return partial(
        collection.query.fetch_objects,
        limit=limit,
        after=after,
        include_vector=vectors,
        return_properties=asked,
    )


def stored(ids: Sequence[str], ask: Callable[[str], Sequence[Any]]) -> Iterator[Any]:
    """Yield the objects under these ids; `ask` returns the one whose id comes after another."""

    def one(own: str) -> Sequence[Any]:
        return ask(str(uuid.UUID(int=uuid.UUID(own).int - 1)))

    for own, found in zip(ids, side_by_side(one, ids, _AT_ONCE, threads), strict=True):
        yield from (each for each in found if str(each.uuid) == own)


def scanned(page: Sequence[Any], also: Sequence[str]) -> pl.DataFrame:
    """Return ID, KEY, SLOT, SHARD, ROW_HASH, TEXT_HASH and `also` of a page; see `Reads.scan`."""
    ids = [str(each.uuid) for each in page]
    keys = [each.properties.get(KEY) for each in page]
    columns = {
        ID: pl.Series(ids, dtype=pl.String),
        KEY: pl.Series(keys, dtype=pl.String),
        SLOT: slots_of(keys, ids),
        SHARD: whole_numbers(page, SHARD).cast(pl.Int32),
        ROW_HASH: hashes(page, ROW_HASH),
        TEXT_HASH: hashes(page, TEXT_HASH),
    }
    for name in also:
        if name == INDEXED_AT:
            at = [each.properties.get(name) for each in page]
            columns[name] = pl.Series(at, dtype=pl.Datetime("us", "UTC"))
        else:
            columns[name] = whole_numbers(page, name)
    return pl.DataFrame(columns)
