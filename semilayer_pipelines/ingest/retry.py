"""Trying again what may pass by itself, a bounded number of times."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from semilayer_pipelines.errors import StoreUnavailable, Transient

__all__ = ["retrying"]

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5

T = TypeVar("T")


def retrying(action: Callable[[], T], *kinds: type[Transient]) -> T:
    """Run `action`, again after 0.5, 1 and 2 s (with jitter) when it raises one of `kinds`.

    Raises the last error when the attempts are used up, and at once a store's for which a run has
    waited already. `action` must be safe to repeat.
    """
    attempts = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, kinds) and not _waited(error)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        reraise=True,
    )
    return attempts(action)


def _waited(error: BaseException) -> bool:
    return isinstance(error, StoreUnavailable) and error.waited


def _wait(state: RetryCallState) -> float:
    return FIRST_WAIT_SECONDS * 2.0 ** (state.attempt_number - 1) * random.uniform(0.7, 1.3)
