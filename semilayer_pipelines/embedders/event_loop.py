"""One event loop in a thread of its own, on which all requests of this process run.

So requests wait side by side for their answers without a thread each, share one pace, and are
really ended when they are cancelled: their connections close.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any, TypeVar

from semilayer_pipelines.embedders.cancellation import current

__all__ = ["run"]

T = TypeVar("T")

_starting = threading.Lock()
_running: asyncio.AbstractEventLoop | None = None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the loop; return or raise what it does.

    An interrupt of the caller, or its `Cancellation`, ends the work. Raises
    `concurrent.futures.CancelledError` then.
    """
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    cancellation = current()
    with cancellation.of(future.cancel) if cancellation is not None else nullcontext():
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


def _loop() -> asyncio.AbstractEventLoop:
    global _running
    with _starting:
        if _running is None:
            _running = asyncio.new_event_loop()
            threading.Thread(target=_running.run_forever, name="requests", daemon=True).start()
        return _running
