"""What the index has, small enough to hold for every row, and what a page changes of it.

A `KnownRows` keeps 26 bytes an indexed row (two hashes of the key, one of row and text hash, two
flags), so that ten million rows fit in 260 MB. The hashes here live no longer than the process:
they are Polars' own, which are fast and may differ between releases. A clash of the first key hash
makes a row look changed, which costs one write; nothing is deleted on the strength of these hashes,
because every tombstone is looked up in the source again (invariant 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.ingest.decision import indexed
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = ["KnownRows"]

_SEED, _CHECK_SEED = 1, 2


class KnownRows:
    """Key, row hash and text hash of every object of an index, or of one shard, as compact hashes.

    The text hash covers the model: an object whose vector another model made is not the same.
    """

    def __init__(self, scan: Iterable[pl.DataFrame]) -> None:
        """Take in the frames that `Index.scan` yields."""
        parts = [_compact(frame) for frame in scan]
        frame = pl.concat(parts or [_compact(_NOTHING)]).sort("key", "check")
        self._keys = frame["key"].to_numpy()
        self._checks = frame["check"].to_numpy()
        self._rows = frame["row"].to_numpy()
        self._twice = _equal_to_next(self._keys) & _equal_to_next(self._checks)
        self._seen: NDArray[np.bool_] = np.zeros(len(self._keys), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self._keys)

    def compare(self, mapped: pl.DataFrame) -> pl.Series:
        """Return a Series of `Indexed` for mapped rows; mark their keys as seen in the source."""
        compact = _compact(mapped)
        where, found = self._locate(compact)
        self._seen[where[found]] = True
        same, twice = np.zeros_like(found), np.zeros_like(found)
        same[found] = self._rows[where[found]] == compact["row"].to_numpy()[found]
        twice[found] = self._twice[where[found]]
        return indexed(found, same, twice)

    def unlike(self, rows: pl.DataFrame) -> pl.Series:
        """Return the KEYs of mapped rows of which the index has no, another or a second object.

        None is marked as seen.
        """
        compact = _compact(rows)
        where, found = self._locate(compact)
        like = found.copy()
        like[found] = self._rows[where[found]] == compact["row"].to_numpy()[found]
        like[found] &= ~self._twice[where[found]]
        return rows[KEY].filter(pl.Series(~like, dtype=pl.Boolean))

    def mark_seen(self, keys: pl.Series) -> None:
        """Mark keys that the source has though their rows were not compared."""
        where, found = self._locate(_hash_keys(keys))
        self._seen[where[found]] = True

    def holds(self, keys: pl.Series) -> pl.Series:
        """Say of which keys the index has an object; Boolean. A clash may say it of another."""
        _, found = self._locate(_hash_keys(keys))
        return pl.Series(found, dtype=pl.Boolean)

    @property
    def all_seen(self) -> bool:
        """Whether the source showed the keys of all of them."""
        return bool(self._seen.all())

    def unseen(self, scan: Iterable[pl.DataFrame]) -> Iterator[pl.Series]:
        """Yield the keys of the index that no page showed, from a second scan for KEY alone.

        Keys that came into the index after the first scan are not among them.
        """
        if self.all_seen:
            return
        # Nearly always few: the others are passed by without being located.
        few = pl.Series(self._keys[~self._seen]).implode()
        for frame in scan:
            keys = frame[KEY].filter(frame[KEY].hash(_SEED).is_in(few))
            where, found = self._locate(_hash_keys(keys))
            missing = found.copy()
            missing[found] = ~self._seen[where[found]]
            if missing.any():
                yield keys.filter(pl.Series(missing))

    def _locate(self, hashed: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        wanted = hashed["key"].to_numpy()
        if not len(self._keys):
            return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.bool_)
        # In their order, so that one search goes on near where the last one ended: of ten million
        # keys few are in the processor's cache, and this takes half as long.
        order = np.argsort(wanted)
        where = np.empty(len(wanted), dtype=np.int64)
        where[order] = np.searchsorted(self._keys, wanted[order])
        where[where == len(self._keys)] = 0
        found = (self._keys[where] == wanted) & (self._checks[where] == hashed["check"].to_numpy())
        return where, found


_NOTHING = pl.DataFrame(schema={KEY: pl.String, ROW_HASH: pl.Binary, TEXT_HASH: pl.Binary})


def _equal_to_next(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    equal = np.zeros(len(values), dtype=np.bool_)
    equal[:-1] = values[1:] == values[:-1]
    return equal


def _hash_keys(keys: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"key": keys.hash(_SEED), "check": keys.hash(_CHECK_SEED)})


def _compact(frame: pl.DataFrame) -> pl.DataFrame:
    # Two seeds: under one, a row hash and a text hash that are equal would cancel out.
    row = frame[ROW_HASH].hash(_SEED) ^ frame[TEXT_HASH].hash(_CHECK_SEED)
    return _hash_keys(frame[KEY]).with_columns(row.alias("row"))
