"""What was read for one viewer and serves the others: a wall screen costs no more than a glance."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

__all__ = ["KEPT_SECONDS", "Kept"]

KEPT_SECONDS = 3.0
"""How long the console shows what it read before it reads again, at least."""

SHARE = 20
"""What took a second to read is kept for so many seconds: reading never takes a larger share."""

_ENTRIES = 200

T = TypeVar("T")


@dataclass
class _Entry:
    until: float = 0.0
    value: Any = None
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Kept:
    """Values for some seconds each; whoever asks while one is read waits for it. One event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    async def get(
        self, key: Hashable, read: Callable[[], Awaitable[T]], *, seconds: float = KEPT_SECONDS
    ) -> T:
        """Return a value, read again when it is too old. Raises what `read` raises."""
        entry = self._entries.setdefault(key, _Entry())
        self._entries.move_to_end(key)
        while len(self._entries) > _ENTRIES:
            self._entries.popitem(last=False)
        async with entry.reading:
            begun = self._clock()
            if begun >= entry.until:
                entry.value = await read()
                now = self._clock()
                entry.until = now + max(seconds, SHARE * (now - begun))
        return cast(T, entry.value)

    def forget(self) -> None:
        """Read everything again: somebody changed something."""
        self._entries.clear()
