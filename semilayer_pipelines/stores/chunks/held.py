"""What a store has of the chunks of rows, read by row and version or all at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.stores.chunks.protocol import END, FIELD, OF, ORDINAL, START
from semilayer_pipelines.stores.chunks.versions import (
    LEAF,
    VERSION,
    chunk_keys,
    leaves,
    parsed,
    unstored,
    versions,
)
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH, Index

__all__ = [
    "PLACES",
    "Digests",
    "chunk_objects",
    "groups",
    "keys_of",
    "stored_chunks",
    "whole_hashes",
]

PLACES = {
    KEY: pl.String(),
    ORDINAL: pl.UInt32(),
    FIELD: pl.String(),
    START: pl.Int64(),
    END: pl.Int64(),
    TEXT_HASH: pl.Binary(),
}
"""Columns that say where the chunks of rows are."""

_PROBED = (0, 1)
"""Chunks that are asked how many there are: one of them may be lost."""

_READ_AT_ONCE = 1_000  # with their vectors
_MERGED_AT = 1_000_000  # groups; below, merging them again and again costs more than they take
_SEED = 5
_GROUP, _DIGEST, _CHUNK = "group", "digest", "\0chunk"


def keys_of(chunks: Index, rows: pl.DataFrame, *, beyond: int = 0) -> pl.DataFrame:
    """Return KEY, VERSION and ORDINAL of the chunks that rows (KEY, VERSION) should have.

    `beyond` adds that many ordinals after the last. Rows that were not cut have none.
    """
    named = rows.select(KEY, VERSION).unique()
    probes = _at(named, [list(_PROBED)] * named.height)
    found = chunks.fetch(chunk_keys(probes).to_list(), vectors=False, also=(OF,))
    told = pl.concat([parsed(found[KEY]), found.select(OF)], how="horizontal")
    lengths = told.group_by(KEY, VERSION).agg(pl.col(OF).max()).drop_nulls()
    return _at(lengths, [list(range(n + beyond)) for n in lengths[OF].to_list()])


def stored_chunks(
    chunks: Index, rows: pl.DataFrame, *, vectors: bool, also: Sequence[str] = ()
) -> pl.DataFrame:
    """Return what is stored of the chunks of rows (KEY, VERSION), in no order.

    Columns are KEY, VERSION, ORDINAL, ROW_HASH, TEXT_HASH[, VECTOR], and `also`.
    """
    wanted = chunk_keys(keys_of(chunks, rows, beyond=1)).to_list()
    found = chunks.fetch(wanted, vectors=vectors, also=also)
    return pl.concat([parsed(found[KEY]), found.drop(KEY)], how="horizontal")


def chunk_objects(chunks: Index, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the objects of the chunks of rows (KEY, VERSION), some at a time, in no order.

    Columns are KEY, VERSION, ORDINAL, ROW_HASH, TEXT_HASH, VECTOR and the fields.
    """
    fields = [field.name for field in chunks.schema.fields]
    for some in chunk_keys(keys_of(chunks, rows)).to_frame().iter_slices(_READ_AT_ONCE):
        found = chunks.fetch(some[KEY].to_list(), vectors=True, also=fields)
        yield pl.concat([parsed(found[KEY]), found.drop(KEY)], how="horizontal")


def whole_hashes(chunks: Index, objects: pl.DataFrame) -> pl.DataFrame:
    """Return objects of rows with the TEXT_HASH of their texts instead of the stored one."""
    if not objects.height:
        return objects
    named = objects.with_columns(versions(objects))
    of_rows = stored_chunks(chunks, named, vectors=False)
    if not of_rows.height:
        return objects
    digests = (
        of_rows.select(KEY, VERSION, leaves(of_rows)).group_by(KEY, VERSION).agg(pl.col(LEAF).sum())
    )
    joined = named.select(KEY, VERSION).join(
        digests, on=[KEY, VERSION], how="left", maintain_order="left"
    )
    return _uncovered(objects, joined[LEAF])


class Digests:
    """The digests of the chunks of all rows, from a scan; about 16 bytes for each row that was cut.

    Chunks of one row and version are a group. Objects of the index of chunks whose keys name no
    chunk are a group each.
    """

    def __init__(self, scan: Iterable[pl.DataFrame]) -> None:
        groups = pl.DataFrame(schema={_GROUP: pl.UInt64, _DIGEST: pl.UInt64})
        parts, height = [groups], 0
        for frame in scan:
            parts.append(_summed(_leaves_of(frame)))
            height += parts[-1].height
            if height > max(_MERGED_AT, parts[0].height):
                parts, height = [_summed(pl.concat(parts))], 0
        groups = _summed(pl.concat(parts)).sort(_GROUP)
        self._groups: NDArray[np.uint64] = groups[_GROUP].to_numpy()
        self._digests: NDArray[np.uint64] = groups[_DIGEST].to_numpy()
        self._met: NDArray[np.bool_] = np.zeros(groups.height, dtype=np.bool_)

    @property
    def leftovers(self) -> pl.Series:
        """The groups (UInt64, see `groups`) of no object which it was asked for so far."""
        return pl.Series(_GROUP, self._groups[~self._met])

    def uncover(self, objects: pl.DataFrame) -> pl.DataFrame:
        """Return objects of rows with the TEXT_HASH of their texts instead of the stored one."""
        if not len(self._groups):
            return objects
        wanted = _group(objects[KEY], versions(objects)).to_numpy()
        where = np.searchsorted(self._groups, wanted)
        where[where == len(self._groups)] = 0
        found = self._groups[where] == wanted
        if not found.any():
            return objects
        self._met[where[found]] = True
        digests = pl.Series(self._digests[where]).zip_with(
            pl.Series(found), pl.Series([None], dtype=pl.UInt64)
        )
        return _uncovered(objects, digests)


def _at(rows: pl.DataFrame, ordinals: list[list[int]]) -> pl.DataFrame:
    listed = pl.Series(ORDINAL, ordinals, dtype=pl.List(pl.UInt32))
    return rows.select(KEY, VERSION).with_columns(listed).explode(ORDINAL)


def _uncovered(objects: pl.DataFrame, digests: pl.Series) -> pl.DataFrame:
    """Return objects with the TEXT_HASH of their texts; `digests` are null for whole rows."""
    cut = digests.is_not_null()
    texts = objects[TEXT_HASH].to_list()
    known = unstored(objects[TEXT_HASH].filter(cut), digests.filter(cut))
    for at, text in zip(cut.arg_true().to_list(), known.to_list(), strict=True):
        texts[at] = text
    return objects.with_columns(pl.Series(TEXT_HASH, texts, dtype=pl.Binary))


def groups(chunk_keys: pl.Series) -> pl.Series:
    """Return the group (UInt64) of each of these chunks, known to this process alone."""
    of = parsed(chunk_keys).with_columns(chunk_keys.alias(_CHUNK))
    known = pl.all_horizontal(pl.col(KEY, VERSION, ORDINAL).is_not_null())
    named = of.select(
        pl.when(known).then(KEY).otherwise(_CHUNK).alias(KEY),
        pl.when(known).then(VERSION).otherwise(pl.lit(0, pl.UInt64)).alias(VERSION),
    )
    return _group(named[KEY], named[VERSION])


def _leaves_of(frame: pl.DataFrame) -> pl.DataFrame:
    named = parsed(frame[KEY]).select(pl.col(ORDINAL).fill_null(0))
    told = frame.select(ROW_HASH, TEXT_HASH, named[ORDINAL])
    return pl.DataFrame([groups(frame[KEY]), leaves(told).alias(_DIGEST)])


def _group(keys: pl.Series, of: pl.Series) -> pl.Series:
    """Return a hash of each row's key and version; it lives no longer than the process."""
    return pl.Series(_GROUP, keys.hash(_SEED).to_numpy() ^ of.to_numpy())


def _summed(groups: pl.DataFrame) -> pl.DataFrame:
    return groups.group_by(_GROUP).agg(pl.col(_DIGEST).sum())
