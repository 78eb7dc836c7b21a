"""A text in pieces between its borders, with the tokens of each.

Pieces are sentences and lines. One that is larger than a chunk may be is parted at words, and a
word that is larger still at characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.chunking.borders import Level, borders, characters, words
from semilayer_pipelines.chunking.count import Counter

__all__ = ["CHARACTERS_A_TOKEN", "Pieces", "measured", "refined"]

CHARACTERS_A_TOKEN = 64
"""Characters that count as one token at least, however few tokens they have.

A word of a thousand letters is one unknown token to WordPiece, and one of five million letters
would be a chunk of one token.
"""

_COUNTED_AT_ONCE = 1 << 20  # characters, so that the tokens of a long text never are in memory


@dataclass(frozen=True)
class Pieces:
    """A text and its parts, in order.

    `edges` has the place of each piece and the end of the text, so one number more than there are
    pieces; `levels` that of the border before each piece; `tokens` how many each piece has alone.
    """

    text: str
    edges: NDArray[np.int64]
    levels: NDArray[np.int8]
    tokens: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def weights(self) -> NDArray[np.int64]:
        """How much each piece takes of a chunk: its tokens, and more where these are very long."""
        weights: NDArray[np.int64] = np.diff(self.edges) // CHARACTERS_A_TOKEN
        return np.maximum(self.tokens, weights, out=weights)

    def of(self, at: int) -> str:
        """Return the text of one piece."""
        return self.text[self.edges[at] : self.edges[at + 1]]


def measured(text: str, counter: Counter) -> Pieces:
    """Part a text at its borders, and count."""
    found = borders(text)
    edges = np.concatenate([[0], found.at, [len(text)]])
    levels = np.concatenate([[np.int8(Level.HEADING)], found.levels])
    return Pieces(text, edges, levels, _counts(_texts(text, edges), counter))


def refined(pieces: Pieces, most: int, counter: Counter) -> Pieces:
    """Part the pieces that weigh more than `most` at words, and such words at characters."""
    by_words = _parted(pieces, most, counter, Level.WORD)
    return _parted(by_words, most, counter, Level.CHARACTER)


def _parted(pieces: Pieces, most: int, counter: Counter, level: Level) -> Pieces:
    large = np.flatnonzero(pieces.weights > most).tolist()
    if not large:
        return pieces
    edges, levels, tokens = [], [], []
    done = 0
    for at in large:
        edges.append(pieces.edges[done : at + 1])
        levels.append(pieces.levels[done : at + 1])
        tokens.append(pieces.tokens[done:at])
        text = pieces.of(at)
        parts = list(words(text)) if level is Level.WORD else _groups(text, most, most, counter)
        inner = np.fromiter(accumulate(map(len, parts[:-1])), np.int64, count=len(parts) - 1)
        edges.append(pieces.edges[at] + inner)
        levels.append(np.full(len(inner), level, np.int8))
        tokens.append(_counts(parts, counter))
        done = at + 1
    return Pieces(
        pieces.text,
        np.concatenate([*edges, pieces.edges[done:]]),
        np.concatenate([*levels, pieces.levels[done:]]),
        np.concatenate([*tokens, pieces.tokens[done:]]),
    )


def _groups(text: str, size: int, most: int, counter: Counter) -> list[str]:
    """Return a word in groups of at most `size` code points, or fewer until the tokens fit."""
    groups = list(_runs(text, size))
    made: list[str] = []
    for group, tokens in zip(groups, _counts(groups, counter).tolist(), strict=True):
        fits = tokens <= most or len(group) == 1
        made += [group] if fits else _groups(group, len(group) // 2, most, counter)
    return made


def _runs(text: str, size: int) -> Iterator[str]:
    """Yield runs of characters, each at most `size` code points, parting none that fits."""
    run: list[str] = []
    length = 0
    for character in characters(text):
        if run and length + len(character) > size:
            yield "".join(run)
            run, length = [], 0
        if len(character) > size:  # one character of many combining marks
            yield from (character[at : at + size] for at in range(0, len(character), size))
            continue
        run.append(character)
        length += len(character)
    if run:
        yield "".join(run)


def _texts(text: str, edges: NDArray[np.int64]) -> Iterator[str]:
    return (text[start:stop] for start, stop in pairwise(edges.tolist()))


def _counts(texts: Iterator[str] | Sequence[str], counter: Counter) -> NDArray[np.int64]:
    counted: list[NDArray[np.int64]] = []
    few: list[str] = []
    size = 0
    for text in texts:
        few.append(text)
        size += len(text)
        if size > _COUNTED_AT_ONCE:
            counted.append(counter.count(few))
            few, size = [], 0
    counted.append(counter.count(few))
    return np.concatenate(counted)
