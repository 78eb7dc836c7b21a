"""Reading bodies without letting callers fill the memory: each is bounded, and all together.

Texts that were read and wait for the model are counted elsewhere (`waiting`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from semilayer_pipelines.embedder_service.problems import Problem, busy, too_large

__all__ = ["Bodies", "BodyLimits"]

_MIB = 1 << 20


@dataclass(frozen=True)
class BodyLimits:
    """Bytes of one body, of all bodies that are being read, and the seconds one may take."""

    one: int = 8 * _MIB
    all: int = 64 * _MIB
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
            raise self._too_long()
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.seconds):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self._limits.one:
                        raise self._too_long()
                    if self._reading + len(chunk) > self._limits.all:
                        raise busy("Too many large requests are arriving at once.", 1)
                    body += chunk
                    self._reading += len(chunk)
        except TimeoutError:
            raise Problem(
                408,
                f"The body did not arrive within {self._limits.seconds:.0f} s.",
                kind="invalid_request_error",
                code="timeout",
            ) from None
        except ClientDisconnect:
            # Nobody reads this answer; the status is for the metrics.
            raise Problem(
                499, "The caller hung up.", kind="invalid_request_error", code="gone"
            ) from None
        finally:
            self._reading -= len(body)
        return bytes(body)

    def _too_long(self) -> Problem:
        return too_large(
            f"The body is longer than {self._limits.one / _MIB:g} MiB; send fewer texts at once."
        )
