"""Rows that an index holds and that no search finds, each asked for by its own vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from semilayer_pipelines.queries.sample import Sample
from semilayer_pipelines.stores.protocol import KEY, TEXT_HASH, Index

__all__ = ["ASKED_AT_ONCE", "CROWD", "Unsearchable", "is_crowded", "not_found"]

ASKED_AT_ONCE = 1_000
"""Rows that are asked for between two looks at how far it is."""

CROWD = 100
"""Rows with one text have one vector. Of more than this, a search shows some and not all."""

_SEED = 3


class Unsearchable:
    """Looks through an index of `rows` rows; `sample` limits how many are asked for.

    `asked` counts those that were, `crowded` those that share their text with so many others that
    no search could be expected to show each. Holds 8 bytes a row while it begins, and the keys of
    those that it asks for.
    """

    def __init__(self, index: Index, rows: int, sample: int | None) -> None:
        self._index = index
        self._sample = None if sample is None else Sample(sample, rows)
        self.expected = rows if sample is None else min(sample, rows)
        self.asked = 0
        self.crowded = 0
        self._crowds = _crowds(index)

    def find(self, report: Callable[[int, int], None]) -> Iterator[list[str]]:
        """Yield the keys of rows that no search finds; `report` hears how many of how many."""
        for part in self._chosen().iter_slices(ASKED_AT_ONCE):
            keys = part[KEY].to_list()
            yield not_found(self._index, keys)
            self.asked += len(keys)
            report(self.asked, self.expected)

    def _chosen(self) -> pl.DataFrame:
        """Return the keys of the rows that are asked for, read before the first is.

        Asking takes hours, and writers remove what a scan would go over after one.
        """
        parts = [pl.DataFrame(schema={KEY: pl.String})]
        for frame in self._index.scan():
            chosen = frame if self._sample is None else frame[self._sample.among(frame.height)]
            crowded = _hashed(chosen).is_in(self._crowds.implode())
            self.crowded += int(crowded.sum())
            parts.append(chosen.filter(~crowded).select(KEY))
        return pl.concat(parts)


def not_found(index: Index, keys: Sequence[str]) -> list[str]:
    """Return which of these rows are held and found by no search, on a second look too.

    A row that was written a moment ago may need that moment.
    """
    lost = index.hidden(keys)
    if not lost:
        return []
    index.settle()
    return index.hidden(lost)


def is_crowded(index: Index, text_hash: bytes) -> bool:
    """Say whether more than `CROWD` rows have the text of this hash; scans the index."""
    its = pl.col(TEXT_HASH) == pl.lit(text_hash)
    return sum(frame.filter(its).height for frame in index.scan()) > CROWD


def _crowds(index: Index) -> pl.Series:
    """Return the hashes of the texts that more than `CROWD` rows have."""
    parts = [np.zeros(0, dtype=np.uint64), *(_hashed(frame).to_numpy() for frame in index.scan())]
    texts: NDArray[np.uint64]
    texts, rows = np.unique(np.concatenate(parts), return_counts=True)
    return pl.Series(texts[rows > CROWD])


def _hashed(frame: pl.DataFrame) -> pl.Series:
    return frame[TEXT_HASH].hash(_SEED)
