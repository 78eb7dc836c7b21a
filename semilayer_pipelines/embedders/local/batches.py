"""Batches of texts that cost a model about the same: so many tokens, padding counted.

A batch is padded to its longest text, so texts of similar length go together; a batch of many short
texts and one of few long ones take the same time and the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.local.tokens import Tokeniser, Tokens, stretched

__all__ = ["READ_AHEAD_TEXTS", "Batch", "batched"]

READ_AHEAD_TEXTS = 1_024
"""Texts that are tokenised at once: enough to keep the cores busy, a few megabytes of tokens."""

_WIDTH_STEP = 8  # few different widths, which kernels are faster with and caches hold


@dataclass(frozen=True)
class Batch:
    """Padded `ids`, int32 of shape (texts, width), and the number of tokens and place of each."""

    places: NDArray[np.intp]
    ids: NDArray[np.int32]
    lengths: NDArray[np.int32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Say which ids are tokens of a text, and no padding; of the same shape."""
        seen: NDArray[np.bool_] = np.arange(self.ids.shape[1]) < self.lengths[:, None]
        return seen


def batched(
    texts: Sequence[str],
    tokeniser: Tokeniser,
    *,
    budget: int,
    note: Callable[[slice, Tokens], object],
    parallel: int = 1,
) -> Iterator[Batch]:
    """Yield batches of at most `budget` padded tokens, or of one text.

    Texts are tokenised while the batches are taken, `READ_AHEAD_TEXTS` at a time. Give the longest
    first. `note` is told the tokens of each stretch of the texts. A call of a few texts is cut into
    `parallel` batches, so that whatever runs them is busy as a whole.
    """
    left = _Waiting.nothing()
    for start in range(0, len(texts), READ_AHEAD_TEXTS):
        stretch = slice(start, min(start + READ_AHEAD_TEXTS, len(texts)))
        tokens = tokeniser.read(texts[stretch])
        note(stretch, tokens)
        left = left.joined(tokens, start)
        last = stretch.stop == len(texts)
        if start == 0 and last:
            budget = min(budget, -(-len(tokens.ids) // parallel))
        at = 0
        while at < len(left.places):
            width = _width(int(left.lengths[at]), tokeniser.limit)
            count = max(1, budget // width)
            if count > len(left.places) - at and not last:
                break  # more texts of this length may follow
            yield left.batch(slice(at, at + count), width, tokeniser.pad_id)
            at += count
        left = left.after(at)


def _width(longest: int, limit: int | None) -> int:
    rounded = max(1, -(-longest // _WIDTH_STEP)) * _WIDTH_STEP
    # A model may have no position beyond its limit.
    return rounded if limit is None else max(longest, min(rounded, limit))


@dataclass(frozen=True)
class _Waiting:
    """Texts that are in no batch yet, the longest first; text n has the ids from `starts[n]` on."""

    places: NDArray[np.intp]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    ids: NDArray[np.int32]

    @classmethod
    def nothing(cls) -> _Waiting:
        none = np.zeros(0, np.int64)
        return cls(none.astype(np.intp), none, none, none.astype(np.int32))

    def joined(self, tokens: Tokens, first: int) -> _Waiting:
        """Return these texts and further ones, the places of which begin with `first`."""
        places = np.concatenate([self.places, np.arange(first, first + len(tokens))])
        lengths = np.concatenate([self.lengths, tokens.lengths])
        starts = len(self.ids) + np.cumsum(tokens.lengths) - tokens.lengths
        starts = np.concatenate([self.starts, starts])
        order = np.argsort(-lengths, kind="stable")
        ids = np.concatenate([self.ids, tokens.ids])
        return _Waiting(places[order], starts[order], lengths[order], ids)

    def after(self, at: int) -> _Waiting:
        """Return the texts from the one at `at` on, with their ids alone."""
        starts, lengths = self.starts[at:], self.lengths[at:]
        return _Waiting(
            self.places[at:],
            np.cumsum(lengths) - lengths,
            lengths,
            self.ids[stretched(starts, lengths)],
        )

    def batch(self, part: slice, width: int, pad_id: int) -> Batch:
        starts, lengths = self.starts[part], self.lengths[part]
        ids = np.full((len(lengths), width), pad_id, np.int32)
        made = Batch(self.places[part], ids, lengths.astype(np.int32))
        ids[made.mask] = self.ids[stretched(starts, lengths)]
        return made
