"""How long whoever asks a store waits for one that went away.

A server that restarts is back within 6 to 11 s. A run that holds hours of work waits for it
(`patiently`); a person or an HTTP caller is told at once. As for the registry, a thread says so for
all that it asks, and those of `threads` with it.

A write that no interrupt reaches (`stores.uninterrupted`) is never patient, because whoever stops a
run would wait for it. The run waits between its attempts instead (`ingest.retry`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from semilayer_pipelines.errors import StoreUnavailable, Transient

__all__ = ["RESTART_SECONDS", "patiently", "threads", "trying"]

T = TypeVar("T")

RESTART_SECONDS = 60.0
"""How long a run waits for a store that went away, before it spends an attempt."""

_LONGEST_WAIT_SECONDS = 2.0

_patient: ContextVar[bool] = ContextVar("store_patience", default=False)


@contextmanager
def patiently() -> Iterator[None]:
    """Within the block, this thread waits `RESTART_SECONDS` for a store that went away."""
    before = _patient.set(True)
    try:
        yield
    finally:
        _patient.reset(before)


def threads(most: int) -> ThreadPoolExecutor:
    """Return threads that are as patient as this one."""
    return ThreadPoolExecutor(most, initializer=_patient.set, initargs=(_patient.get(),))


def trying(
    action: Callable[[], T],
    kinds: tuple[type[Transient], ...],
    waits_s: Sequence[float],
    *,
    limit_s: float = math.inf,
) -> T:
    """Run `action`, again after each of the waits (with jitter) when it raises one of `kinds`.

    A patient caller goes on for as long as `RESTART_SECONDS` when a store went away, unless
    somebody has waited for it already. No wait begins after `limit_s`. Raises the last error.
    `action` must be safe to repeat.
    """
    patient, until = _patient.get(), time.monotonic() + RESTART_SECONDS

    def short(state: RetryCallState) -> bool:
        tried, spent = state.attempt_number, state.seconds_since_start or 0.0
        return tried <= len(waits_s) and spent <= limit_s

    def over(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        away = isinstance(error, StoreUnavailable) and error.away
        waited = isinstance(error, StoreUnavailable) and error.waited
        return waited or not (short(state) or (patient and away and time.monotonic() < until))

    def wait(state: RetryCallState) -> float:
        if short(state):
            return waits_s[state.attempt_number - 1] * random.uniform(0.7, 1.3)
        beyond = 0.5 * 2.0 ** min(state.attempt_number - len(waits_s) - 1, 10)
        return max(0.0, min(beyond, _LONGEST_WAIT_SECONDS, until - time.monotonic()))

    retry = retry_if_exception_type(kinds)
    try:
        return Retrying(retry=retry, stop=over, wait=wait, reraise=True)(action)
    except StoreUnavailable as error:
        error.waited = error.waited or (error.away and patient)
        raise
