"""Reads bodies without letting callers fill the memory: each is bounded, and all together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import cast

from starlette.requests import Request
from starlette.types import Message, Receive

__all__ = ["Bodies", "BodyFault", "BodyLimits", "BodyRefused"]


@dataclass(frozen=True)
class BodyLimits:
    """Bytes of one body, of all bodies that are being read, and the seconds one may take."""

    one: int
    all: int
    seconds: float = 30.0


class BodyFault(Enum):
    """Why a body was not read."""

    TOO_LONG = auto()
    NO_ROOM = auto()  # for now: too many others are being read
    TOO_SLOW = auto()
    HUNG_UP = auto()


class BodyRefused(Exception):
    """A body was not read; each service words that in its own shape."""

    def __init__(self, fault: BodyFault, limits: BodyLimits) -> None:
        super().__init__(fault.name)
        self.fault = fault
        self.limits = limits


class Bodies:
    """Counts the bytes of bodies that are being read; for one event loop."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._reading = 0

    async def read(self, request: Request) -> bytes:
        """Return the body. Raises `BodyRefused`."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.one:
            raise self._refused(BodyFault.TOO_LONG)
        body = bytearray()
        try:
            # The body of most calls comes with its head, and a deadline takes longer than reading
            # it.
            more = self._takes(body, _arrived(request.receive))
            if more:
                async with asyncio.timeout(self._limits.seconds):
                    while more:
                        more = self._takes(body, await request.receive())
        except TimeoutError:
            raise self._refused(BodyFault.TOO_SLOW) from None
        finally:
            self._reading -= len(body)
        return bytes(body)

    def _takes(self, body: bytearray, message: Message | None) -> bool:
        """Add what came to a body; return whether more is to come."""
        if message is None:
            return True
        if message["type"] == "http.disconnect":
            raise self._refused(BodyFault.HUNG_UP)
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > self._limits.one:
            raise self._refused(BodyFault.TOO_LONG)
        if self._reading + len(chunk) > self._limits.all:
            raise self._refused(BodyFault.NO_ROOM)
        body += chunk
        self._reading += len(chunk)
        more: bool = message.get("more_body", False)
        return more

    def _refused(self, fault: BodyFault) -> BodyRefused:
        return BodyRefused(fault, self._limits)


def _arrived(receive: Receive) -> Message | None:
    """Return the message that is there already, `None` where one has to be waited for."""
    asked = cast("Coroutine[object, None, Message]", receive())
    try:
        asked.send(None)
    except StopIteration as told:
        message: Message = told.value
        return message
    # It began to wait. Whoever asks again waits as well as it did.
    asked.close()
    return None
