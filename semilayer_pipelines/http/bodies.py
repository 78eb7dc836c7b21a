"""Reads bodies without letting callers fill the memory: each is bounded, and all together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto

from starlette.requests import ClientDisconnect, Request

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
            async with asyncio.timeout(self._limits.seconds):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self._limits.one:
                        raise self._refused(BodyFault.TOO_LONG)
                    if self._reading + len(chunk) > self._limits.all:
                        raise self._refused(BodyFault.NO_ROOM)
                    body += chunk
                    self._reading += len(chunk)
        except TimeoutError:
            raise self._refused(BodyFault.TOO_SLOW) from None
        except ClientDisconnect:
            raise self._refused(BodyFault.HUNG_UP) from None
        finally:
            self._reading -= len(body)
        return bytes(body)

    def _refused(self, fault: BodyFault) -> BodyRefused:
        return BodyRefused(fault, self._limits)
