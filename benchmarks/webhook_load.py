"""Callers of the webhook, as a process of their own: `python -m benchmarks.webhook_load '{…}'`.

Requests are made beforehand and answers only looked at for their status, so that little is measured
but the server. Prints a `Took` as JSON.

Without a rate every connection calls again as soon as it is answered: that finds how much a server
takes. With a rate calls are due at even intervals whatever the server does, go out on whichever
connection is free, and their latency counts from when they were due: a server that stalls is not
spared the calls that would have come meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

__all__ = ["Load", "Took", "main"]

_REQUESTS = 500
_TICK_SECONDS = 0.001
_ACCEPTED = b"HTTP/1.1 202"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What to do: `calls` and `seconds` at most, `rate` calls a second (0: all it takes)."""

    port: int
    path: str
    key: str
    changes: int
    connections: int
    seconds: float
    rate: float = 0.0
    calls: int = sys.maxsize


@dataclass(frozen=True)
class Took:
    """What came of it; `p50` and `p99` are latencies in seconds."""

    calls: int
    refused: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds


def main(load: Load) -> Took:
    """Make the calls and wait for every answer."""
    requests = [_request(load, seed) for seed in range(max(4, _REQUESTS // load.changes))]
    return uvloop.run(_Callers(load, requests).run())


def _request(load: Load, seed: int) -> bytes:
    ids = random.Random(seed).sample(range(1_000_000), load.changes)
    body = json.dumps(
        {"mode": "records", "changes": [{"id": str(id), "action": "upsert"} for id in ids]}
    )
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {load.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


class _Callers:
    """All connections, and the calls that are due."""

    def __init__(self, load: Load, requests: list[bytes]) -> None:
        self._load = load
        self._requests = requests
        self._idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._begun = 0
        self._latencies: list[float] = []
        self._refused = 0

    async def run(self) -> Took:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        for _ in range(self._load.connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(self._answered, self._lost), "127.0.0.1", self._load.port
            )
            self._idle.append(connection)
        started = time.perf_counter()
        self._until = started + self._load.seconds
        if self._load.rate:
            await self._call_at_even_intervals(started)
        else:
            while self._idle and not self._over():
                self._send(self._idle.popleft(), time.perf_counter())
        if self._open():
            await self._ended
        took = sorted(self._latencies)
        return Took(
            calls=len(took),
            refused=self._refused,
            seconds=time.perf_counter() - started,
            p50=took[len(took) // 2],
            p99=took[len(took) * 99 // 100],
        )

    async def _call_at_even_intervals(self, started: float) -> None:
        planned = 0
        while (now := time.perf_counter()) < self._until:
            while (due := started + planned / self._load.rate) <= now:
                self._due.append(due)
                planned += 1
            self._send_due()
            await asyncio.sleep(_TICK_SECONDS)

    def _send_due(self) -> None:
        while self._due and self._idle:
            self._send(self._idle.popleft(), self._due.popleft())

    def _send(self, connection: _Connection, due: float) -> None:
        connection.send(self._requests[self._begun % len(self._requests)], due)
        self._begun += 1

    def _answered(self, connection: _Connection, accepted: bool) -> None:
        now = time.perf_counter()
        self._latencies.append(now - connection.due)
        self._refused += not accepted
        if self._load.rate:
            self._idle.append(connection)
            self._send_due()
        elif not self._over():
            self._send(connection, now)
        if self._over() and not self._open() and not self._ended.done():
            self._ended.set_result(None)

    def _lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            why = f"the server closed a connection ({error or 'without a reason'})"
            self._ended.set_exception(ConnectionError(why))

    def _over(self) -> bool:
        return self._begun >= self._load.calls or time.perf_counter() >= self._until

    def _open(self) -> bool:
        """Say whether an answer is awaited, or a call is due that was not sent."""
        return bool(self._due) or len(self._latencies) < self._begun


class _Connection(asyncio.Protocol):
    """One connection, with one call at a time."""

    def __init__(
        self,
        answered: Callable[[_Connection, bool], None],
        lost: Callable[[Exception | None], None],
    ) -> None:
        self._answered = answered
        self._lost = lost
        self._answer = b""
        self.due = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop has transports of its own, which are no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._answer = b""
        self._answered(self, head.startswith(_ACCEPTED))


if __name__ == "__main__":
    print(json.dumps(asdict(main(Load(**json.loads(sys.argv[1]))))))
