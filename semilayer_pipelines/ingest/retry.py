"""Trying again what may pass by itself, a bounded number of times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from semilayer_pipelines.errors import Transient
from semilayer_pipelines.stores.patience import trying

__all__ = ["retrying"]

ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.5

T = TypeVar("T")


def retrying(action: Callable[[], T], *kinds: type[Transient]) -> T:
    """Run `action`, again after 0.5, 1 and 2 s (with jitter) when it raises one of `kinds`.

    A run waits longer for a store that went away (`stores.patience`), unless it has waited already.
    Raises the last error when the attempts are used up. `action` must be safe to repeat.
    """
    waits = [FIRST_WAIT_SECONDS * 2.0**number for number in range(ATTEMPTS - 1)]
    return trying(action, kinds, waits)
