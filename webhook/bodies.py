"""Reading bodies without letting callers fill the memory: each is bounded, and all together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from webhook.problems import Code, Problem

__all__ = ["Bodies", "BodyLimits"]

_MB = 1_000_000


@dataclass(frozen=True)
class BodyLimits:
    """Bytes of one body, of all bodies that are being read, and the seconds one may take."""

    one: int = 8 * _MB
    all: int = 64 * _MB
    seconds: float = 30.0


class Bodies:
    """Counts the bytes of bodies that are being read; for one event loop."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._reading = 0

    async def read(self, request: Request) -> bytes:
        """Return the body. Raises `Problem` when it is too long, too slow or there is no room."""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.one:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.seconds):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self._limits.one:
                        raise self._too_large()
                    if self._reading + len(chunk) > self._limits.all:
                        raise Problem(
                            Code.UNAVAILABLE,
                            "Too many large bodies are arriving at once.",
                            "Try again.",
                            {"retry-after": "1"},
                        )
                    body += chunk
                    self._reading += len(chunk)
        except TimeoutError:
            raise Problem(
                Code.TIMEOUT,
                f"The body did not arrive within {self._limits.seconds:.0f} s.",
                "Send less at once, or try again.",
            ) from None
        except ClientDisconnect:
            # Nobody reads this answer; the status is for the metrics.
            raise Problem(Code.TIMEOUT, "The caller hung up.") from None
        finally:
            self._reading -= len(body)
        return bytes(body)

    def _too_large(self) -> Problem:
        return Problem(
            Code.BODY_TOO_LARGE,
            f"The body is longer than {self._limits.one / _MB:g} MB.",
            "Send fewer changes a call.",
        )
