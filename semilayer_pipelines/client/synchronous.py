"""The client for threads.

Only one batch is on its way at a time, so that the changes of one id arrive in their order. The
background thread flushes what has waited long enough. It drops nothing, and the next call raises
what it could not deliver.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
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
from semilayer_pipelines.client.transport import Transport
from semilayer_pipelines.http.contract import MAX_CHANGES, Action

__all__ = ["IngestClient"]

T = TypeVar("T")


class _Closing(Exception):
    """The client is being closed, which sends what is left by itself."""


class IngestClient:
    """Collects changes of one lens and delivers them; safe to share between threads.

    Changes go out at 10,000 distinct ids, `flush_after` seconds after the first one (`math.inf`:
    never by themselves), or on `flush`.
    A call that meets 408, 429, 5xx or a broken network is repeated until `give_up_after` seconds
    are over; one request may take `timeout` seconds. `url` is the address up to and without `/v1`.

    What is buffered lives in memory: a worker that must not lose a change when it is killed flushes
    before it confirms the change to wherever it read it from. Raises `ConfigError` for an unusable
    URL or key.
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
        self._transport = Transport(key, timeout)
        self._patience = Patience(
            give_up_after, time.monotonic, lambda: datetime.now(UTC), random.random
        )
        self._flush_after = flush_after
        self._buffer = Buffer()
        self._guard = threading.Condition()  # held for moments, around the buffer
        self._turn = threading.Lock()  # held as long as a batch is on its way
        self._closing = threading.Event()
        self._background: threading.Thread | None = None
        self._failure: DeliveryFailed | RequestRefused | None = None

    def __repr__(self) -> str:
        return f"IngestClient({self._service.url!r}, lens={self._service.lens!r})"

    @property
    def pending(self) -> tuple[Change, ...]:
        """All changes that nobody acknowledged yet, oldest first, the newest of each id."""
        with self._guard:
            return self._buffer.pending()

    def upsert(self, id: str) -> None:
        """Say that the row with this id was inserted or updated; see `add`."""
        self.add((Change(id, Action.UPSERT),))

    def delete(self, id: str) -> None:
        """Say that the row with this id was deleted; see `add`."""
        self.add((Change(id, Action.DELETE),))

    def add(self, changes: Iterable[Change]) -> None:
        """Buffer changes; the newest of an id replaces older ones.

        At 10,000 ids it delivers them before it returns. Raises `DeliveryFailed` or
        `RequestRefused` for that delivery, or for one in the background since the last call; the
        changes given here are buffered even then.
        """
        given = tuple(changes)  # what a caller's iterator does or raises happens here
        with self._guard:
            if self._closing.is_set():
                raise RuntimeError(f"{self!r} is closed; nothing was buffered")
            self._buffer.add(given, time.monotonic())
            full = self._buffer.waiting >= MAX_CHANGES
            if self._buffer.waiting and self._background is None:
                self._background = threading.Thread(
                    target=self._flush_when_due, name="semilayer-ingest", daemon=True
                )
                self._background.start()
            self._guard.notify_all()
            failure, self._failure = self._failure, None
        if full:
            self.flush()
        elif failure is not None:
            raise failure

    def flush(self) -> tuple[Receipt, ...]:
        """Deliver; on return each change added before is acknowledged or replaced by a newer one.

        Returns the receipts of what this call sent. Raises `DeliveryFailed` or `RequestRefused`,
        with the receipts so far; what they do not cover stays in `pending`.
        """
        return self._deliver(self._patience, time.sleep)

    def full(self) -> Receipt:
        """Ask for a rebuild of the lens's index; raises like `flush`."""
        return self._run(exchange.ingest("full", self._service, self._patience))

    def incremental(self) -> Receipt:
        """Ask for an ingest of all rows changed since the last one; raises like `flush`."""
        return self._run(exchange.ingest("incremental", self._service, self._patience))

    def job(self, id: str, wait: float = 0.0) -> JobState:
        """Look a job up, once it has ended or `wait` seconds are over; raises like `flush`.

        Needs an sk_ key.
        """
        return self._run(exchange.job(id, wait, self._service, self._patience))

    def close(self) -> None:
        """Deliver what is left and close; raises like `flush`, and is closed even then."""
        self._close(self._patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        # One attempt: the caller has a failure of its own to see to, and this must not hide it.
        try:
            self._close(replace(self._patience, give_up_after=0.0))
        except (DeliveryFailed, RequestRefused) as failure:
            error.add_note(f"{len(self.pending):,} changes were not delivered: {failure.message}")

    def _close(self, patience: Patience) -> None:
        with self._guard:
            if self._closing.is_set():
                return
            self._closing.set()
            self._guard.notify_all()
        if self._background is not None:
            self._background.join()
        try:
            self._deliver(patience, time.sleep)
        finally:
            self._transport.close()

    def _flush_when_due(self) -> None:
        while True:
            with self._guard:
                while (wait := self._seconds_to_wait()) != 0.0:
                    self._guard.wait(wait)
            if self._closing.is_set():
                return
            try:
                self._deliver(self._patience, self._sleep_unless_closing)
            except _Closing:
                return
            except (DeliveryFailed, RequestRefused) as failure:
                self._failure = failure
                if isinstance(failure, RequestRefused):
                    self._closing.wait(MAX_WAIT_S)

    def _seconds_to_wait(self) -> float | None:
        if self._closing.is_set():
            return 0.0
        since = self._buffer.waiting_since
        if since is None:
            return None
        wait = since + self._flush_after - time.monotonic()
        return max(0.0, min(wait, threading.TIMEOUT_MAX))

    def _sleep_unless_closing(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise _Closing

    def _deliver(self, patience: Patience, sleep: Callable[[float], None]) -> tuple[Receipt, ...]:
        with self._turn:
            receipts = self._run(exchange.deliver(self._buffer, self._service, patience), sleep)
            self._failure = None
            return receipts

    def _run(self, steps: Steps[T], sleep: Callable[[float], None] = time.sleep) -> T:
        outcome: Response | NoResponse | None = None
        try:
            while True:
                with self._guard:
                    step = steps.send(outcome)
                match step:
                    case Request():
                        outcome = self._transport.send(step)
                    case Wait():
                        sleep(step.seconds)
                        outcome = None
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            with self._guard:
                steps.close()
                self._guard.notify_all()  # changes may have been given back
