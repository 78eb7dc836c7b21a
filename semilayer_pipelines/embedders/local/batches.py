"""Batches of texts that cost a model about the same: so many tokens, padding counted.

A batch is padded to its longest text, so texts of similar length go together; a batch of many short
texts and one of few long ones take the same time and the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.embedders.local.tokens import Tokeniser, Tokens

__all__ = ["READ_AHEAD_TEXTS", "Batch", "batched"]

READ_AHEAD_TEXTS = 1_024
"""Texts that are tokenised at once: enough to keep the cores busy, a few megabytes of tokens."""

_WIDTH_STEP = 8  # few different widths, which kernels are faster with and caches hold

_Text = tuple[int, NDArray[np.int32]]  # its place in the call, and its tokens


@dataclass(frozen=True)
class Batch:
    """Padded `ids` and `mask`, int64 of shape (texts, width), and each text's place in the call."""

    places: NDArray[np.intp]
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]


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
    left: list[_Text] = []
    for start in range(0, len(texts), READ_AHEAD_TEXTS):
        stretch = slice(start, min(start + READ_AHEAD_TEXTS, len(texts)))
        tokens = tokeniser.read(texts[stretch])
        note(stretch, tokens)
        left += enumerate(tokens.ids, start)
        left.sort(key=lambda text: len(text[1]), reverse=True)
        last = stretch.stop == len(texts)
        if start == 0 and last:
            budget = min(budget, -(-sum(len(ids) for ids in tokens.ids) // parallel))
        while left:
            width = _width(len(left[0][1]), tokeniser.limit)
            count = max(1, budget // width)
            if count > len(left) and not last:
                break  # more texts of this length may follow
            yield _padded(left[:count], width, tokeniser.pad_id)
            del left[:count]


def _width(longest: int, limit: int | None) -> int:
    rounded = max(1, -(-longest // _WIDTH_STEP)) * _WIDTH_STEP
    # A model may have no position beyond its limit.
    return rounded if limit is None else max(longest, min(rounded, limit))


def _padded(texts: list[_Text], width: int, pad_id: int) -> Batch:
    ids = np.full((len(texts), width), pad_id, np.int64)
    mask = np.zeros_like(ids)
    # Rows of different lengths: numpy has no ragged assignment.
    for row, (_, tokens) in enumerate(texts):
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    places = np.fromiter((place for place, _ in texts), np.intp, count=len(texts))
    return Batch(places, ids, mask)
