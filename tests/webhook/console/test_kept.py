"""What was read for one viewer of the console serves the others, for a while."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from webhook.console.kept import KEPT_SECONDS, SHARE, Kept


@dataclass
class Reading:
    """Something that takes `takes` seconds to read."""

    takes: float = 0.0
    now: float = 100.0
    times: int = 0
    kept: Kept = field(init=False)

    def __post_init__(self) -> None:
        self.kept = Kept(lambda: self.now)

    async def read(self) -> int:
        await asyncio.sleep(0)
        self.times += 1
        self.now += self.takes
        return self.times

    async def get(self, key: str = "a") -> int:
        return await self.kept.get(key, self.read)


def test_viewers_who_come_at_once_share_one_reading() -> None:
    reading = Reading()

    async def come() -> list[int]:
        return await asyncio.gather(*(reading.get() for _ in range(5)))

    assert asyncio.run(come()) == [1] * 5


def test_it_is_read_again_when_it_is_old_or_somebody_changed_something() -> None:
    reading = Reading()

    async def come() -> list[int]:
        found = [await reading.get()]
        reading.now += KEPT_SECONDS - 0.1
        found.append(await reading.get())
        reading.now += 0.1
        found.append(await reading.get())
        reading.kept.forget()
        return [*found, await reading.get()]

    assert asyncio.run(come()) == [1, 1, 2, 3]


def test_what_takes_long_to_read_is_kept_for_longer() -> None:
    reading = Reading(takes=2.0)

    async def come() -> list[int]:
        found = [await reading.get()]
        reading.now += SHARE * 2.0 - 0.1
        found.append(await reading.get())
        reading.now += 0.1
        return [*found, await reading.get()]

    assert asyncio.run(come()) == [1, 1, 2]


def test_what_cannot_be_read_is_not_kept() -> None:
    reading = Reading()

    async def fail() -> int:
        raise LookupError

    async def come() -> int:
        with pytest.raises(LookupError):
            await reading.kept.get("a", fail)
        return await reading.get()

    assert asyncio.run(come()) == 1
