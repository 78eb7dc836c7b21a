"""A bound for a whole call.

HTTP libraries bound each wait for bytes, and bytes may drip for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["within"]

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T], *, give_up: Callable[[], object]) -> T:
    """Return what `call` returns, or raise what it raises, if it ends in so many seconds.

    Raises `TimeoutError` otherwise, after `give_up`, which should close what the call waits for:
    its thread goes on until then.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="bounded-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        give_up()
        raise TimeoutError(f"no whole answer within {seconds:g} s")
    return results[0]
