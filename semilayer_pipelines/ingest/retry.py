"""Trying again what may pass by itself, a bounded number of times."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from semilayer_pipelines.errors import StoreUnavailable, Transient
from semilayer_pipelines.stores.patience import Waits

__all__ = ["retrying"]

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5

T = TypeVar("T")


def retrying(action: Callable[[], T], *kinds: type[Transient]) -> T:
    """Run `action`, again after 0.5, 1 and 2 s (with jitter) when it raises one of `kinds`.

    A run waits longer for a store that went away (`stores.patience`), unless it has waited already.
    Raises the last error when the attempts are used up. `action` must be safe to repeat.
    """
    waits = Waits()
    for attempt in count(1):
        try:
            return action()
        except kinds as error:
            away = isinstance(error, StoreUnavailable) and error.away
            if isinstance(error, StoreUnavailable) and error.waited:
                raise
            if attempt < ATTEMPTS:
                time.sleep(FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1) * random.uniform(0.7, 1.3))
            elif not (away and waits.again()):
                raise
    raise AssertionError("it was tried without end")
