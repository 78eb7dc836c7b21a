"""The client for tasks of one event loop: the same promises as `IngestClient`, with `await`.

A cancelled call gives its batch back to the buffer; nobody can tell whether it arrived, so it is
sent again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from semilayer_pipelines.client import exchange
from semilayer_pipelines.client.backoff import MAX_WAIT_S
from semilayer_pipelines.client.buffer import Buffer
from semilayer_pipelines.client.change import Change
from semilayer_pipelines.client.exchange import NoResponse, Patience, Steps, Wait
from semilayer_pipelines.client.failures import DeliveryFailed, RequestRefused
from semilayer_pipelines.client.responses import JobState, Receipt, Response
from semilayer_pipelines.client.service import Request, Service
from semilayer_pipelines.client.transport import AsyncTransport
from semilayer_pipelines.http.contract import MAX_CHANGES, Action

__all__ = ["AsyncIngestClient"]

T = TypeVar("T")


class _Closing(Exception):
    """The client is being closed, which sends what is left by itself."""


class AsyncIngestClient:
    """Collects changes of one lens and delivers them; see `IngestClient` for what is promised.

    Belongs to the event loop of its first call, and is not safe to share between threads.
    """

    def __init__(
        self,
        url: str,
        key: str,
        lens: str,
        *,
        flush_after: float = 2.0,
        give_up_after: float = 120.0,
        timeout: float = 30.0,
    ) -> None:
        self._service = Service.at(url, lens)
        self._transport = AsyncTransport(key, timeout)
        self._patience = Patience(
            give_up_after, time.monotonic, lambda: datetime.now(UTC), random.random
        )
        self._flush_after = flush_after
        self._buffer = Buffer()
        self._turn = asyncio.Lock()  # held as long as a batch is on its way
        self._waiting = asyncio.Event()  # set while the buffer holds something
        self._closing = asyncio.Event()
        self._background: asyncio.Task[None] | None = None
        self._failure: DeliveryFailed | RequestRefused | None = None

    def __repr__(self) -> str:
        return f"AsyncIngestClient({self._service.url!r}, lens={self._service.lens!r})"

    @property
    def pending(self) -> tuple[Change, ...]:
        """All changes that nobody acknowledged yet, oldest first, the newest of each id."""
        return self._buffer.pending()

    async def upsert(self, id: str) -> None:
        """Say that the row with this id was inserted or updated; see `add`."""
        await self.add((Change(id, Action.UPSERT),))

    async def delete(self, id: str) -> None:
        """Say that the row with this id was deleted; see `add`."""
        await self.add((Change(id, Action.DELETE),))

    async def add(self, changes: Iterable[Change]) -> None:
        """Buffer changes, and deliver them at 10,000 ids; raises as `IngestClient.add` does."""
        given = tuple(changes)
        if self._closing.is_set():
            raise RuntimeError(f"{self!r} is closed; nothing was buffered")
        self._buffer.add(given, time.monotonic())
        if given:
            self._waiting.set()
        if given and self._background is None:
            self._background = asyncio.create_task(self._flush_when_due())
        failure, self._failure = self._failure, None
        if self._buffer.waiting >= MAX_CHANGES:
            await self.flush()
        elif failure is not None:
            raise failure

    async def flush(self) -> tuple[Receipt, ...]:
        """Deliver; on return each change added before is acknowledged or replaced by a newer one.

        Returns the receipts of what this call sent. Raises `DeliveryFailed` or `RequestRefused`,
        with the receipts so far; what they do not cover stays in `pending`.
        """
        return await self._deliver(self._patience, asyncio.sleep)

    async def full(self) -> Receipt:
        """Ask for a rebuild of the lens's index; raises like `flush`."""
        return await self._run(exchange.ingest("full", self._service, self._patience))

    async def incremental(self) -> Receipt:
        """Ask for an ingest of all rows changed since the last one; raises like `flush`."""
        return await self._run(exchange.ingest("incremental", self._service, self._patience))

    async def job(self, id: str, wait: float = 0.0) -> JobState:
        """Look a job up, once it has ended or `wait` seconds are over; raises like `flush`.

        Needs an sk_ key.
        """
        return await self._run(exchange.job(id, wait, self._service, self._patience))

    async def aclose(self) -> None:
        """Deliver what is left and close; raises like `flush`, and is closed even then."""
        await self._close(self._patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.aclose()
            return
        # One attempt: the caller has a failure of its own to see to, and this must not hide it.
        try:
            await self._close(replace(self._patience, give_up_after=0.0))
        except (DeliveryFailed, RequestRefused) as failure:
            error.add_note(f"{len(self.pending):,} changes were not delivered: {failure.message}")

    async def _close(self, patience: Patience) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._waiting.set()
        try:
            if self._background is not None:
                await self._background
            await self._deliver(patience, asyncio.sleep)
        finally:
            await self._transport.close()

    async def _flush_when_due(self) -> None:
        with suppress(_Closing):
            while not self._closing.is_set():
                await self._waiting.wait()
                since = self._buffer.waiting_since
                if since is None:
                    self._waiting.clear()
                elif (wait := since + self._flush_after - time.monotonic()) > 0:
                    await self._sleep_unless_closing(wait)
                else:
                    await self._flush_in_background()

    async def _flush_in_background(self) -> None:
        try:
            await self._deliver(self._patience, self._sleep_unless_closing)
        except (DeliveryFailed, RequestRefused) as failure:
            self._failure = failure
            if isinstance(failure, RequestRefused):
                await self._sleep_unless_closing(MAX_WAIT_S)

    async def _sleep_unless_closing(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        if self._closing.is_set():
            raise _Closing

    async def _deliver(
        self, patience: Patience, sleep: Callable[[float], Awaitable[None]]
    ) -> tuple[Receipt, ...]:
        async with self._turn:
            steps = exchange.deliver(self._buffer, self._service, patience)
            receipts = await self._run(steps, sleep)
            self._failure = None
            return receipts

    async def _run(
        self, steps: Steps[T], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> T:
        outcome: Response | NoResponse | None = None
        try:
            while True:
                match step := steps.send(outcome):
                    case Request():
                        outcome = await self._transport.send(step)
                    case Wait():
                        await sleep(step.seconds)
                        outcome = None
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()
            if self._buffer.waiting:  # given back
                self._waiting.set()
