"""Trying again what may pass by itself, a bounded number of times."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from semilayer_pipelines.errors import Transient

__all__ = ["ATTEMPTS", "retrying"]

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5

T = TypeVar("T")


def retrying(
    action: Callable[[], T],
    *kinds: type[Transient],
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Run `action`, again after 0.5, 1 and 2 s (with jitter) when it raises one of `kinds`.

    Raises the last error when the attempts are used up. `action` must be safe to repeat.
    """
    for attempt in range(1, attempts):
        try:
            return action()
        except kinds:
            sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.7, 1.3))
    return action()
