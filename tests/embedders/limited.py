"""An HTTP endpoint that has limits as hosted providers have them, and enforces every one.

`python -m tests.embedders.limited '{"latency": 0.3}'` serves one in a process of its own and prints
its address. `GET /told` says what it saw.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import sys
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.embedders.batches_double import BatchesDouble
from tests.patience import PATIENCE_SECONDS, eventually


def tokens_of(text: str) -> int:
    return max(1, len(text) // 4)


def vector_of(text: str, dimension: int = 8) -> list[float]:
    """Return a vector by which its text is known."""
    return [*_own(text), *_tail(dimension)[0]]


def _own(text: str) -> list[float]:
    return [zlib.crc32(text.encode()) / 2**32 + 0.5, float(len(text))]


@functools.cache
def _tail(dimension: int) -> tuple[list[float], str, bytes]:
    """Return what all vectors have in common: as numbers, in JSON and in bytes."""
    random = np.random.default_rng(1)
    numbers = random.normal(0, 0.03, dimension - 2).tolist()
    return numbers, json.dumps(numbers)[1:-1], np.array(numbers, "<f4").tobytes()


_RUNS_EVERY_S = 0.1


@dataclass
class Limited:
    """What one request, one text and one minute may have; a minute passes `speed` times as fast.

    A shorter `minute` forgives that a request is under way for a while. While nothing ran at all,
    on a machine that paused, requests were under way for as long: that is forgiven as well.

    `together`: it answers no second request before so many were under way at once.

    `told`: headers say what is left. `storm`: so many requests are refused with 429 whatever they
    hold; another storm of `storm_of` begins once `storm_at` texts were embedded. `worst` is the
    most that any minute had of requests and of tokens, of those it accepted.
    """

    latency: float = 0.0
    together: int = 1
    requests: int | None = None
    tokens: int | None = None
    batch_texts: int = 2_048
    batch_tokens: int = 300_000
    text_tokens: int = 8_192
    dimension: int = 8
    speed: float = 1.0
    minute: float = 60.0
    told: bool = True
    storm: int = 0
    storm_at: int | None = None
    storm_of: int = 0
    stormed: int = 0
    poison: str = "\0"
    url: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    worst: list[int] = field(default_factory=lambda: [0, 0])
    under_way: int = 0
    most_at_once: int = 0
    hung_up: int = 0
    paused: float = 0.0
    has_batches: bool = False
    _ran: float = field(default_factory=time.monotonic)
    _minute: deque[tuple[float, int]] = field(default_factory=deque)

    @functools.cached_property
    def batches(self) -> BatchesDouble:
        """Its files and batches."""
        return BatchesDouble(self._answer)

    def clock(self) -> float:
        """Return the time as this endpoint counts it, which its client has to count as well."""
        return time.time() * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)

    def note_that_it_runs(self) -> None:
        """Note for how many seconds this process did not run, at the longest."""
        now = time.monotonic()
        self.paused = max(self.paused, now - self._ran - _RUNS_EVERY_S)
        self._ran = now

    async def embed(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            answer = self._answer(body)
            await self._wait(request)
        finally:
            self.under_way -= 1
        self.statuses[answer.status_code] += 1
        return answer

    async def _wait(self, request: Request) -> None:
        # A client sends one at a time until it has an answer.
        while self.statuses and self.most_at_once < self.together:
            await asyncio.sleep(0.005)
        try:
            await asyncio.wait_for(self._hang_up(request), self.latency)
            self.hung_up += 1
        except TimeoutError:
            return

    async def _hang_up(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    def _answer(self, body: dict[str, Any]) -> Response:
        texts: list[str] = body["input"]
        spent = sum(map(tokens_of, texts))
        self.note_that_it_runs()
        now = self.clock()
        since = now - self.minute + self.paused * self.speed
        while self._minute and self._minute[0][0] <= since:
            self._minute.popleft()
        used = len(self._minute), sum(tokens for _, tokens in self._minute)
        if self.storm_at is not None and len(self.seen) >= self.storm_at:
            self.storm, self.storm_at = self.storm_of, None
        if self.storm > 0:
            self.storm -= 1
            self.stormed += 1
            return self._refusal(429, "Rate limit reached: try again.", {"retry-after": "1"})
        over = (self.requests is not None and used[0] + 1 > self.requests) or (
            self.tokens is not None and used[1] + spent > self.tokens
        )
        if over:
            wait = self._minute[0][0] + self.minute - now if self._minute else 1.0
            return self._refusal(429, "Rate limit reached.", {"retry-after": f"{wait + 0.01:.2f}"})
        if len(texts) > self.batch_texts:
            return self._refusal(400, f"At most {self.batch_texts} texts, received {len(texts)}")
        if spent > self.batch_tokens:
            return self._refusal(400, f"Requested {spent} tokens, max {self.batch_tokens} tokens")
        if any(tokens_of(text) > self.text_tokens for text in texts):
            return self._refusal(400, f"maximum context length is {self.text_tokens} tokens")
        if any(self.poison in text for text in texts):
            return self._refusal(422, "the content was filtered")
        self._minute.append((now, spent))
        self.worst = [max(self.worst[0], used[0] + 1), max(self.worst[1], used[1] + spent)]
        self.seen.update(texts)
        return self._vectors(body, texts, spent)

    def _vectors(self, body: dict[str, Any], texts: list[str], spent: int) -> Response:
        _, written, packed = _tail(self.dimension)
        if body.get("encoding_format") == "base64":
            own = (np.array(_own(text), "<f4").tobytes() for text in texts)
            vectors = [f'"{base64.b64encode(one + packed).decode()}"' for one in own]
        else:
            vectors = [f"[{json.dumps(_own(text))[1:-1]}, {written}]" for text in texts]
        item = '{{"object": "embedding", "index": {}, "embedding": {}}}'
        data = [item.format(n, vector) for n, vector in enumerate(vectors)]
        usage = json.dumps({"prompt_tokens": spent, "total_tokens": spent})
        told = f'"object": "list", "model": {json.dumps(body["model"])}, "usage": {usage}'
        answer = f'{{{told}, "data": [{", ".join(data[::-1])}]}}'
        return Response(answer, headers=self._headers(), media_type="application/json")

    def _refusal(self, status: int, said: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse(
            {"error": {"message": said}}, status, headers={**self._headers(), **(headers or {})}
        )

    def _headers(self) -> dict[str, str]:
        if not self.told:
            return {}
        used = {"requests": len(self._minute), "tokens": sum(n for _, n in self._minute)}
        limits = {"requests": self.requests, "tokens": self.tokens}
        last = self._minute[-1][0] + self.minute - self.clock() if self._minute else 0.0
        headers = {}
        for name, limit in limits.items():
            if limit is not None:
                headers[f"x-ratelimit-limit-{name}"] = str(limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(max(0, limit - used[name]))
                headers[f"x-ratelimit-reset-{name}"] = f"{int(last // 60)}m{last % 60:.3f}s"
        return headers

    async def tell(self, _: Request) -> Response:
        return JSONResponse(
            {
                "texts": len(self.seen),
                "twice": sum(1 for times in self.seen.values() if times > 1),
                "statuses": {str(status): n for status, n in self.statuses.items()},
                "worst": self.worst,
                "stormed": self.stormed,
                "most_at_once": self.most_at_once,
            }
        )

    def server(self) -> uvicorn.Server:
        routes = [
            Route("/v1/embeddings", self.embed, methods=["POST"]),
            Route("/told", self.tell),
            *(self.batches.routes() if self.has_batches else ()),
        ]
        return uvicorn.Server(
            uvicorn.Config(Starlette(routes=routes), port=0, log_level="error", lifespan="off")
        )


@contextmanager
def limited(**limits: Any) -> Iterator[Limited]:
    """Serve an endpoint in a thread."""
    endpoint = Limited(**limits)
    server = endpoint.server()
    ends = threading.Event()

    def note() -> None:
        while not ends.wait(_RUNS_EVERY_S / 5):
            endpoint.note_that_it_runs()

    noting = threading.Thread(target=note, daemon=True)
    noting.start()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    endpoint.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield endpoint
    finally:
        ends.set()
        noting.join()
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE_SECONDS)


def main() -> None:
    with limited(**json.loads(sys.argv[1])) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()  # until whoever started this is gone


if __name__ == "__main__":
    main()
