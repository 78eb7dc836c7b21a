"""Changes that nobody acknowledged yet: plain data, without a clock.

One rule decides everything: of each id only the newest change is kept, in the order of the newest
changes. No change is forgotten before it is acknowledged. The buffer alone is not safe to share
between threads; the clients guard it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from json.encoder import JSONEncoder

from semilayer_pipelines.client.change import Change
from semilayer_pipelines.http.contract import MAX_BODY_BYTES, MAX_CHANGES

__all__ = ["Batch", "Buffer", "encode", "take_batch"]

_HEAD, _TAIL = b'{"mode":"records","changes":[', b"]}"
_text = JSONEncoder(ensure_ascii=False).encode

Batch = tuple[Change, ...]


class Buffer:
    """Changes that wait, in the order of each id's newest one, and the one batch on its way."""

    def __init__(self) -> None:
        self._waiting: dict[str, Change] = {}
        self._sending: Batch = ()
        self.waiting_since: float | None = None

    def __len__(self) -> int:
        """Return how many changes nobody acknowledged yet."""
        return len(self.pending())

    @property
    def waiting(self) -> int:
        """How many distinct ids wait; those on their way are not among them."""
        return len(self._waiting)

    def add(self, changes: Iterable[Change], now: float) -> None:
        """Add changes; a newer one of an id replaces the older. `now` is in seconds."""
        for change in changes:
            self._waiting.pop(change.id, None)
            self._waiting[change.id] = change
        if self._waiting and self.waiting_since is None:
            self.waiting_since = now

    def take(self) -> tuple[Batch, bytes]:
        """Put the next batch on its way; return it and its body, empty when nothing waits."""
        if self._sending:
            raise RuntimeError("a batch is on its way already: batches must arrive in order")
        batch, body = take_batch(self._waiting.values())
        for change in batch:
            del self._waiting[change.id]
        self._sending = batch
        if not self._waiting:
            self.waiting_since = None
        return batch, body

    def delivered(self) -> None:
        """Forget the batch on its way: it was acknowledged."""
        self._sending = ()

    def undelivered(self, now: float) -> None:
        """Put the batch on its way back in front, except for ids that changed since."""
        returned = self.pending()
        self._sending, self._waiting = (), {}
        self.add(returned, now)

    def pending(self) -> Batch:
        """Return all that nobody acknowledged, oldest first, each id once."""
        older = (change for change in self._sending if change.id not in self._waiting)
        return (*older, *self._waiting.values())


def take_batch(changes: Iterable[Change]) -> tuple[Batch, bytes]:
    """Return as many of the first changes as one call may carry, and the call's body."""
    batch: list[Change] = []
    parts: list[bytes] = []
    size = len(_HEAD) + len(_TAIL)
    for change in itertools.islice(changes, MAX_CHANGES):
        part = encode(change)
        if size + len(part) + 1 > MAX_BODY_BYTES:
            break
        size += len(part) + 1
        batch.append(change)
        parts.append(part)
    return tuple(batch), _HEAD + b",".join(parts) + _TAIL


def encode(change: Change) -> bytes:
    """Return one change as it stands in a body."""
    return f'{{"id":{_text(change.id)},"action":"{change.action}"}}'.encode()
