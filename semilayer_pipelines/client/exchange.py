"""Which requests are sent and when, without sending them: shared by both clients.

Each function is a generator. It yields a `Request` to send or a `Wait` to sleep, gets the
`Response` or `NoResponse`, and returns the result. It opens no socket and never sleeps, so that
threads and tasks run the very same steps. A generator that is closed early gives its batch back to
the buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from semilayer_pipelines.client.backoff import next_wait
from semilayer_pipelines.client.buffer import Buffer
from semilayer_pipelines.client.failures import DeliveryFailed, RequestRefused
from semilayer_pipelines.client.responses import (
    JobState,
    Receipt,
    Response,
    Unreadable,
    read_error,
    read_job,
    read_receipt,
)
from semilayer_pipelines.client.service import Request, Service
from semilayer_pipelines.http.contract import MAX_JOB_WAIT_S
from semilayer_pipelines.http.retry_after import retry_after

__all__ = ["NoResponse", "Patience", "Steps", "Wait", "deliver", "ingest", "job"]

_JOB_PAUSE_S = 1.0
_NOT_NOW = (408, 429)  # the request came too slowly, or too many did

T = TypeVar("T")


@dataclass(frozen=True)
class Wait:
    """Sleep so many seconds."""

    seconds: float


@dataclass(frozen=True)
class NoResponse:
    """The request got no response; nobody knows whether it arrived."""

    reason: str


Steps = Generator[Request | Wait, Response | NoResponse | None, T]


@dataclass(frozen=True)
class Patience:
    """How long one request is tried, in seconds, and where time and chance come from."""

    give_up_after: float
    clock: Callable[[], float]
    now: Callable[[], datetime]
    random: Callable[[], float]


def deliver(buffer: Buffer, service: Service, patience: Patience) -> Steps[tuple[Receipt, ...]]:
    """Send what waits now, batch after batch; a batch leaves the buffer with its receipt.

    Raises `DeliveryFailed` or `RequestRefused`, with the receipts so far; the rest is kept.
    """
    receipts: list[Receipt] = []
    left = buffer.waiting  # what comes in meanwhile is for the next call, or this one might not end
    while left > 0:
        batch, body = buffer.take()
        left -= max(1, len(batch))
        if not batch:
            break
        try:
            response = yield from _settled(service.records(body), service, patience)
            receipts.append(_read(read_receipt, response, service))
        except BaseException as failure:
            buffer.undelivered(patience.clock())
            if isinstance(failure, DeliveryFailed | RequestRefused):
                failure.receipts = tuple(receipts)
            raise
        buffer.delivered()
    return tuple(receipts)


def ingest(
    mode: Literal["full", "incremental"], service: Service, patience: Patience
) -> Steps[Receipt]:
    """Ask for an ingest; raises `DeliveryFailed` or `RequestRefused`."""
    response = yield from _settled(service.ingest(mode), service, patience)
    return _read(read_receipt, response, service)


def job(id: str, wait: float, service: Service, patience: Patience) -> Steps[JobState]:
    """Look a job up, again and again until it has ended or `wait` seconds are over.

    Raises `DeliveryFailed` or `RequestRefused`.
    """
    until = patience.clock() + wait
    while True:
        sent_at = patience.clock()
        hold = min(MAX_JOB_WAIT_S, max(0.0, until - sent_at))
        response = yield from _settled(service.job(id, hold), service, patience)
        state = _read(read_job, response, service)
        now = patience.clock()
        if state.ended or now >= until:
            return state
        if now < sent_at + hold:
            yield Wait(min(_JOB_PAUSE_S, until - now))


def _settled(request: Request, service: Service, patience: Patience) -> Steps[Response]:
    """Send until there is a response that another attempt would not change."""
    started, failures = patience.clock(), 0
    while True:
        response = yield request
        failures += 1
        requested: float | None = None
        status: int | None = None
        match response:
            case Response():
                status = response.status
                if status not in _NOT_NOW and status < 500:
                    return response
                requested = retry_after(response.retry_after, patience.now())
                code, message = read_error(response)
                reason = f"HTTP {status} {code}: {message}"
            case NoResponse():
                reason = response.reason
            case None:
                raise RuntimeError("a request was answered like a wait")
        spent = patience.clock() - started
        wait = next_wait(failures, requested, patience.give_up_after - spent, patience.random())
        if wait is None:
            times = "attempt" if failures == 1 else "attempts"
            asks = f" It asks to be left alone for {requested:.0f} s." if requested else ""
            raise DeliveryFailed(
                f"{service.url} did not take the call in {failures} {times} over {spent:.1f} s; "
                f"the last one: {reason.rstrip('.: ')}.{asks}",
                cure="Undelivered changes are kept; the next flush sends them again.",
                lens=service.lens,
                status=status,
                retry_after=requested,
            )
        yield Wait(wait)


def _read(read: Callable[[Response], T], response: Response, service: Service) -> T:
    if response.status >= 400:
        code, message = read_error(response)
        raise RequestRefused(
            f"{service.url} refused the call: HTTP {response.status} {code}: {message}",
            cure=_CURES.get(response.status, "Undelivered changes are kept."),
            lens=service.lens,
            status=response.status,
            code=code,
        )
    try:
        return read(response)
    except Unreadable as error:
        raise RequestRefused(
            f"{service.url} answered {error}.",
            cure="Check the URL: it is the webhook's address, up to and without /v1.",
            lens=service.lens,
            status=response.status,
            code="unreadable",
        ) from None


_CURES = {
    401: "Check that the key is this environment's and not revoked. Undelivered changes are kept.",
    403: "Use an ik_ key to ingest, an sk_ key for the rest. Undelivered changes are kept.",
    404: "Check the names of lens and job, and that the lens was pushed. "
    "Undelivered changes are kept.",
}
