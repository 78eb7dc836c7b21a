"""Bodies within their bounds: each, all together, and in their time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from semilayer_pipelines.http.bodies import Bodies, BodyFault, BodyLimits, BodyRefused

LIMITS = BodyLimits(one=10, all=15, seconds=20.0)


class Caller:
    """A caller whose body is being read, and who sends what the test lets him send."""

    def __init__(self, bodies: Bodies, *, declares: int | None = None) -> None:
        headers = [] if declares is None else [(b"content-length", b"%d" % declares)]
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        request = Request({"type": "http", "headers": headers}, self._messages.get)
        self._read = asyncio.ensure_future(bodies.read(request))

    def sends(self, chunk: bytes, *, more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": chunk, "more_body": more})

    def hangs_up(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def body(self) -> bytes:
        return await asyncio.wait_for(self._read, 10)

    async def fault(self) -> BodyFault:
        with pytest.raises(BodyRefused) as refused:
            await self.body()
        return refused.value.fault

    async def is_read_so_far(self) -> None:
        while not self._messages.empty():
            await asyncio.sleep(0)


def test_a_body_as_long_as_is_allowed_is_read() -> None:
    async def check() -> None:
        caller = Caller(Bodies(LIMITS), declares=10)
        caller.sends(b"12345")
        caller.sends(b"67890", more=False)
        assert await caller.body() == b"1234567890"

    asyncio.run(check())


def test_a_longer_one_is_refused_whether_or_not_it_was_declared() -> None:
    async def check() -> None:
        bodies = Bodies(LIMITS)
        assert await Caller(bodies, declares=11).fault() is BodyFault.TOO_LONG
        silent = Caller(bodies)
        silent.sends(b"1234567890")
        silent.sends(b"1")
        assert await silent.fault() is BodyFault.TOO_LONG

    asyncio.run(check())


def test_all_together_have_their_bound_and_one_that_ends_makes_room() -> None:
    async def check() -> None:
        # given a body of which ten bytes are held
        bodies = Bodies(LIMITS)
        first = Caller(bodies)
        first.sends(b"1234567890")
        await first.is_read_so_far()

        # when another would make it more than fifteen
        second = Caller(bodies)
        second.sends(b"123456")
        assert await second.fault() is BodyFault.NO_ROOM

        # then there is room again as soon as the first one has ended, however it did
        first.hangs_up()
        assert await first.fault() is BodyFault.HUNG_UP
        third, fourth = Caller(bodies), Caller(bodies)
        third.sends(b"1234567890")
        await third.is_read_so_far()
        fourth.sends(b"12345", more=False)
        assert await fourth.body() == b"12345"
        third.sends(b"", more=False)
        assert await third.body() == b"1234567890"

    asyncio.run(check())


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def check() -> None:
        slow = Caller(Bodies(BodyLimits(one=10, all=15, seconds=0.01)))
        slow.sends(b"1")
        assert await slow.fault() is BodyFault.TOO_SLOW

    asyncio.run(check())
