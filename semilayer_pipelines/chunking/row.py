"""One row to chunks: its short fields before each, its long ones cut.

The text that is embedded is what has to fit, so it is counted whole wherever counts of its parts do
not surely add up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semilayer_pipelines.chunking.borders import Level, characters, words
from semilayer_pipelines.chunking.count import BLANKS, Counter
from semilayer_pipelines.chunking.cut import Cuts
from semilayer_pipelines.chunking.pieces import Pieces, measured, refined

__all__ = ["Chunk", "Limits", "cut_row"]

_SHARE_BEFORE = 4  # by default, short fields have a fourth of the room at most
_SHARE_WHEN_CHOSEN = 2


class Chunk(NamedTuple):
    """A part of a field, and the text that is embedded for it."""

    field: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Limits:
    """How rows are cut: `room` is the most tokens of a text, without the model's special ones.

    `fields` are the only ones that may be cut, any where there are none. `always` is the level from
    which on each border is a cut.
    """

    counter: Counter
    room: int
    overlap: int
    fields: tuple[str, ...]
    always: Level | None


def cut_row(
    texts: Mapping[str, str],
    weights: Mapping[str, int],
    limits: Limits,
    exceeds: Callable[[], bool] | None,
) -> list[Chunk]:
    """Cut a row, given as the texts of its searchable fields in their order.

    Where nobody has counted the row yet, `exceeds` does, if its parts do not tell: a row that fits
    has no chunks.
    """
    pieces = {name: measured(text, limits.counter) for name, text in texts.items() if text}
    if exceeds is not None and not _surely_exceeds(pieces, weights, limits) and not exceeds():
        return []
    before = _before(pieces, weights, limits)
    return [
        chunk
        for name, found in pieces.items()
        if name not in before
        for chunk in _Field(name, found, "\n".join(before.values()), limits).chunks()
    ]


def _surely_exceeds(
    pieces: Mapping[str, Pieces], weights: Mapping[str, int], limits: Limits
) -> bool:
    """Say yes where the pieces with blanks on both sides are too many tokens by themselves."""
    if not limits.counter.adds_up:
        return False
    least = 0
    for name, found in pieces.items():
        unsure = np.diff(_unsure(found), append=0) > 0  # the border behind each piece
        apart = ~(unsure | np.roll(unsure, 1))
        least += int(found.tokens[apart].sum()) * weights[name]
    return least > limits.room


def _before(
    pieces: Mapping[str, Pieces], weights: Mapping[str, int], limits: Limits
) -> dict[str, str]:
    """Return what stands before each chunk of a row, by its fields, in their order."""
    sizes = {name: int(found.weights.sum()) for name, found in pieces.items()}
    left = limits.room // (_SHARE_WHEN_CHOSEN if limits.fields else _SHARE_BEFORE)
    taken: dict[str, str] = {}
    for name in sorted(sizes, key=lambda name: sizes[name]):
        if limits.fields and name not in limits.fields:
            taken[name] = _beginning(pieces[name], left, limits.counter)
        elif limits.fields or sizes[name] > left:
            continue
        else:
            taken[name] = pieces[name].text
        left -= min(left, sizes[name])
    repeated = sum(sizes[name] * (weights[name] - 1) for name in taken)
    times = weights if repeated <= left else dict.fromkeys(weights, 1)
    return {name: "\n".join([taken[name]] * times[name]) for name in pieces if taken.get(name)}


def _beginning(pieces: Pieces, room: int, counter: Counter) -> str:
    if not room:
        return ""
    fine = refined(pieces, room, counter)
    _, stop = next(Cuts(fine, None).within(room))
    return fine.text[: fine.edges[stop]].strip()


class _Field:
    """One field that is cut, with what stands before each of its chunks."""

    def __init__(self, name: str, pieces: Pieces, before: str, limits: Limits) -> None:
        self._name = name
        self._limits = limits
        self._before = f"{before}\n" if before else ""
        spent = int(limits.counter.count([self._before])[0]) if before else 0
        free = limits.room - spent
        self._overlap = min(limits.overlap, free // 2)
        self._own = max(1, free - self._overlap)
        self._pieces = refined(pieces, self._own, limits.counter)
        self._cuts = Cuts(self._pieces, limits.always)
        self._unsure = _unsure(self._pieces)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks, in order; none is longer than the room."""
        made = [self._made(a, b) for a, b in self._cuts.within(self._own)]
        parts = [part for part in made if part is not None]
        asked = [at for at, part in enumerate(parts) if self._is_unsure(part)]
        sizes = self._sizes([parts[at].chunk.text for at in asked])
        too_long = {at for at, size in zip(asked, sizes, strict=True) if size > self._limits.room}
        for at, part in enumerate(parts):
            if at in too_long:
                yield from self._shortened(part)
            else:
                yield part.chunk

    def _made(self, a: int, b: int, *, overlapping: bool = True) -> _Part | None:
        edges = self._pieces.edges
        start, end = _trimmed(self._pieces.text, int(edges[a]), int(edges[b]))
        if start >= end:  # blanks alone
            return None
        if overlapping and self._overlap and a:
            start = self._overlapped(a, start)
        return _Part(a, b, self._chunk(start, end))

    def _chunk(self, start: int, end: int) -> Chunk:
        own = self._pieces.text[start:end]
        return Chunk(self._name, start, end, self._before + own)

    def _overlapped(self, a: int, start: int) -> int:
        """Return where the overlap before a piece begins: at a border or, failing that, a word."""
        first = a
        while first and self._cuts.weight(first - 1, a) <= self._overlap:
            first -= 1
        if first < a:
            return _trimmed(self._pieces.text, int(self._pieces.edges[first]), start)[0]
        left, at = self._overlap, int(self._pieces.edges[a])
        units = list(words(self._pieces.of(a - 1)))
        for unit, size in zip(reversed(units), reversed(self._sizes(units)), strict=True):
            if size > left:
                break
            left -= size
            at -= len(unit)
        return _trimmed(self._pieces.text, at, start)[0]

    def _is_unsure(self, part: _Part) -> bool:
        if self._overlap or not self._limits.counter.adds_up:
            return True
        return bool(self._unsure[part.stop - 1] - self._unsure[part.start])

    def _sizes(self, texts: Sequence[str]) -> list[int]:
        return self._limits.counter.count(texts).tolist() if texts else []

    def _fits(self, a: int, b: int) -> bool:
        part = self._made(a, b, overlapping=False)
        return part is None or self._sizes([part.chunk.text])[0] <= self._limits.room

    def _shortened(self, part: _Part) -> Iterator[Chunk]:
        """Yield a part that is too long after all: without its overlap, or cut once more."""
        for a, b in self._cuts.fitted(part.start, part.stop, self._fits, self._own):
            again = self._made(a, b, overlapping=False)
            if again is not None:
                yield from self._halved(again.chunk)

    def _halved(self, chunk: Chunk) -> Iterator[Chunk]:
        """Cut a single piece between characters until its parts fit; one alone has to."""
        if self._sizes([chunk.text])[0] <= self._limits.room or chunk.end - chunk.start < 2:
            yield chunk
            return
        lengths = [len(one) for one in characters(self._pieces.text[chunk.start : chunk.end])]
        half = sum(lengths[: len(lengths) // 2]) or (chunk.end - chunk.start) // 2
        yield from self._halved(self._chunk(chunk.start, chunk.start + half))
        yield from self._halved(self._chunk(chunk.start + half, chunk.end))


@dataclass(frozen=True)
class _Part:
    """The pieces from `start` to `stop`, and the chunk that they are."""

    start: int
    stop: int
    chunk: Chunk


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    own = text[start:end]
    return end - len(own.lstrip()), start + len(own.rstrip())


def _unsure(pieces: Pieces) -> NDArray[np.int64]:
    """Return of how many borders, up to that after each piece, the counts may not add up."""
    text = pieces.text
    unsure = [text[at - 1] not in BLANKS for at in pieces.edges[1:-1].tolist()]
    return np.concatenate([[0], np.cumsum(unsure, dtype=np.int64)])
