"""Callers of the webhook, as a process of their own: `python -m benchmarks.webhook_load PORT …`.

Every connection sends a call as soon as the one before is answered. Requests are made beforehand
and answers only looked at for their status, so that little is measured but the server. Prints one
JSON object: `calls`, `seconds`, `refused` and the latencies' `p50` and `p99` in seconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from typing import cast

import uvloop

__all__ = ["main"]

_REQUESTS = 500
_ACCEPTED = b"HTTP/1.1 202"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def main(port: int, path: str, key: str, changes: int, connections: int, seconds: float) -> None:
    requests = [_request(path, key, changes, seed) for seed in range(_requests(changes))]
    print(json.dumps(uvloop.run(_load(port, requests, connections, seconds))))


def _requests(changes: int) -> int:
    return max(4, _REQUESTS // changes)


def _request(path: str, key: str, changes: int, seed: int) -> bytes:
    ids = random.Random(seed).sample(range(1_000_000), changes)
    body = json.dumps(
        {"mode": "records", "changes": [{"id": str(id), "action": "upsert"} for id in ids]}
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return (head + body).encode()


async def _load(
    port: int, requests: list[bytes], connections: int, seconds: float
) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    callers = [_Caller(requests, number, until) for number in range(connections)]
    started = time.perf_counter()
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(caller.ended for caller in callers))
    took = sorted(latency for caller in callers for latency in caller.latencies)
    return {
        "calls": len(took),
        "seconds": time.perf_counter() - started,
        "refused": sum(caller.refused for caller in callers),
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
    }


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: list[bytes], number: int, until: float) -> None:
        self.requests = requests
        self.next = number
        self.until = until
        self.latencies: list[float] = []
        self.refused = 0
        self.answer = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop has transports of its own, which are no subclass.
        self.transport = cast("asyncio.Transport", transport)
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.requests[self.next % len(self.requests)])
        self.next += 1

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, found, body = self.answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return
        now = time.perf_counter()
        self.latencies.append(now - self.sent)
        if not head.startswith(_ACCEPTED):
            self.refused += 1
        self.answer = b""
        if now < self.until:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        sys.argv[2],
        sys.argv[3],
        int(sys.argv[4]),
        int(sys.argv[5]),
        float(sys.argv[6]),
    )
