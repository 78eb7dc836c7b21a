"""Pending texts: one bounded queue for all callers.

A batch takes texts of similar length, from any caller, because it is padded to its longest text.
Every second batch starts from the oldest request, so that no request waits for ever. The others
start from the request with the fewest texts left, so that a search does not wait behind an ingest.
Nothing here embeds anything, and no more is held than the limits allow.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from semilayer_pipelines.embedder_service.pending import PendingRequest

__all__ = ["CALL_COST", "Full", "Limits", "PendingText", "Taken", "TextQueue"]

CALL_COST = 64
"""Characters that each text costs on top: below this, a difference in length hardly matters."""

_MAX_PADDING = 2


@dataclass(frozen=True)
class Limits:
    """How much is held at most: texts, and characters of texts, of all requests together."""

    texts: int = 16_384
    characters: int = 16_000_000


class Full(Exception):
    """There is no room for the request; `pending` characters come before it."""

    def __init__(self, pending: int) -> None:
        super().__init__("the queue is full")
        self.pending = pending


@dataclass(frozen=True, order=True)
class PendingText:
    """A text of a request; ordered by length, so that equal texts are neighbours too."""

    length: int
    text: str
    number: int  # of the request
    position: int  # within the request


@dataclass(frozen=True)
class Taken:
    """Texts for one batch and, beside each, its request; `full` when more would not have fitted."""

    texts: list[PendingText]
    owners: list[PendingRequest]
    full: bool

    @property
    def cost(self) -> int:
        """Characters, as padded, that the batch makes the model read."""
        return len(self.texts) * (max(text.length for text in self.texts) + CALL_COST)


class TextQueue:
    """A queue between the callers' thread and the worker's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._changed = threading.Condition()
        self._numbers = count()
        self._pending: dict[int, PendingRequest] = {}  # admitted and not released, oldest first
        self._left: dict[int, set[int]] = {}  # positions not taken, of those with any
        self._sorted: list[PendingText] = []
        self._closed = False
        self._broken: Exception | None = None
        self._oldest_next = True
        self.texts = 0
        self.characters = 0

    @contextmanager
    def admitted(self, pending: PendingRequest) -> Iterator[None]:
        """Hold room for a request; its texts wait until they are taken or the block ends.

        Raises `Full` at once when there is no room, and what the queue was abandoned with.
        """
        number = self._admit(pending)
        try:
            yield
        finally:
            self._release(number)

    def take(self, budget: int) -> Taken | None:
        """Wait for texts and take a batch of about `budget` padded characters.

        Returns `None` once the queue is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._sorted or self._closed)
            if not self._sorted:
                return None
            start, stop, full = self._window(self._anchor(), budget)
            texts = self._sorted[start:stop]
            del self._sorted[start:stop]
            for text in texts:
                left = self._left[text.number]
                left.discard(text.position)
                if not left:
                    del self._left[text.number]
            return Taken(texts, [self._pending[text.number] for text in texts], full)

    def close(self) -> None:
        """Let `take` end once everything that waits was taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self, error: Exception) -> None:
        """Close the queue and fail every request in it: nobody will take them any more."""
        with self._changed:
            self._closed, self._broken = True, error
            for pending in self._pending.values():
                pending.fail(error)
            self._changed.notify_all()

    def _admit(self, pending: PendingRequest) -> int:
        with self._changed:
            if self._broken is not None:
                raise self._broken
            texts = self.texts + len(pending.texts)
            characters = self.characters + pending.characters
            if texts > self._limits.texts or characters > self._limits.characters:
                raise Full(self.characters)
            number = next(self._numbers)
            self.texts, self.characters = texts, characters
            self._pending[number] = pending
            self._left[number] = set(range(len(pending.texts)))
            # Into a list in memory: microseconds a text, beside milliseconds in the model.
            for position, text in enumerate(pending.texts):
                insort(self._sorted, PendingText(len(text), text, number, position))
            self._changed.notify()
            return number

    def _release(self, number: int) -> None:
        with self._changed:
            pending = self._pending.pop(number)
            self.texts -= len(pending.texts)
            self.characters -= pending.characters
            for position in self._left.pop(number, ()):
                del self._sorted[self._place(number, pending, position)]

    def _anchor(self) -> int:
        """Return the place of a text of the request that is served next."""
        if self._oldest_next:
            number = next(iter(self._left))
        else:
            number = min(self._left, key=lambda number: len(self._left[number]))
        self._oldest_next = not self._oldest_next
        return self._place(number, self._pending[number], min(self._left[number]))

    def _place(self, number: int, pending: PendingRequest, position: int) -> int:
        text = pending.texts[position]
        return bisect_left(self._sorted, PendingText(len(text), text, number, position))

    def _window(self, anchor: int, budget: int) -> tuple[int, int, bool]:
        """Grow a range around the anchor, to the nearer length first, until the budget is used."""
        texts = self._sorted
        start, stop = anchor, anchor + 1
        length = texts[anchor].length
        while True:
            below = length - texts[start - 1].length if start > 0 else None
            above = texts[stop].length - length if stop < len(texts) else None
            if below is None and above is None:
                return start, stop, False
            grow_up = below is None or (above is not None and above <= below)
            shortest = texts[start if grow_up else start - 1].length + CALL_COST
            longest = texts[stop if grow_up else stop - 1].length + CALL_COST
            if longest * (stop - start + 1) > budget:
                return start, stop, True
            if longest > _MAX_PADDING * shortest:
                return start, stop, False
            start, stop = (start, stop + 1) if grow_up else (start - 1, stop)
