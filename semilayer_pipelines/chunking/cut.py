"""Which borders of a text become cuts.

A part that is too large is cut at its best border, and so are its two parts, until all of them fit.
The best is that of the highest level, and among those of one level that of the largest hash of
what follows. So where a text is cut follows from what stands there and not from what stands before:
a sentence more changes the chunk that it is in, and its neighbour at most.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

import numpy as np
import xxhash
from numpy.typing import NDArray

from semilayer_pipelines.chunking.borders import Level
from semilayer_pipelines.chunking.pieces import Pieces

__all__ = ["Cuts"]

_HASHED = 48  # characters behind a border
_LEAST = 4  # the smaller part of a cut has a fourth of the room at least


class Cuts:
    """Cuts a text in pieces; `always` is the level from which on a border is a cut in any case."""

    def __init__(self, pieces: Pieces, always: Level | None) -> None:
        self._pieces = pieces
        self._before: list[int] = [0, *np.cumsum(pieces.weights).tolist()]
        self._worth = _worth(pieces)
        self._always = always

    def weight(self, start: int, stop: int) -> int:
        """Return how many tokens the pieces from `start` to `stop` are taken to have."""
        return self._before[stop] - self._before[start]

    def within(self, room: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of the text, each as its first piece and the one behind its last."""
        before = self._before
        for start, stop in self._sections():
            yield from self.fitted(start, stop, lambda a, b: before[b] - before[a] <= room, room)

    def fitted(
        self, start: int, stop: int, fits: Callable[[int, int], bool], room: int
    ) -> Iterator[tuple[int, int]]:
        """Yield parts that fit; a single piece is yielded whatever its size."""
        left = [(start, stop)]
        while left:
            a, b = left.pop()
            if b - a <= 1 or fits(a, b):
                yield a, b
                continue
            middle = self._best(a, b, room)
            left += [(middle, b), (a, middle)]

    def _sections(self) -> Iterator[tuple[int, int]]:
        ends: list[int] = []
        if self._always is not None:
            ends = (np.flatnonzero(self._pieces.levels[1:] >= self._always) + 1).tolist()
        start = 0
        for end in [*ends, len(self._pieces)]:
            yield start, end
            start = end

    def _best(self, a: int, b: int, room: int) -> int:
        """Return where to cut: not near an end, and so that two parts do where two can."""
        before = self._before
        low, high = before[a] + room // _LEAST, before[b] - room // _LEAST
        if before[b] - before[a] <= 2 * room:
            low, high = max(low, before[b] - room), min(high, before[a] + room)
        first = bisect_left(before, low, a + 1, b)
        last = bisect_right(before, high, a + 1, b)
        if first >= last:
            first, last = a + 1, b
        worth = self._worth[first:last]
        best = int(worth.argmax())
        alike = np.flatnonzero(worth == worth[best])
        # In a text that repeats itself many borders are alike: the middle one parts it best.
        return first + int(alike[len(alike) // 2])


def _worth(pieces: Pieces) -> NDArray[np.uint64]:
    text, edges = pieces.text, pieces.edges.tolist()
    hashes = np.fromiter(
        (xxhash.xxh3_64_intdigest(text[at : at + _HASHED].encode()) for at in edges[:-1]),
        np.uint64,
        count=len(pieces),
    )
    return (pieces.levels.astype(np.uint64) << np.uint64(56)) + (hashes >> np.uint64(8))
