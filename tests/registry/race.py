"""Real processes and threads that do the same thing at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.patience import PATIENCE_SECONDS
from tests.processes import FORKING


def processes_at_once(work: Callable[..., Any], url: str, times: int = 3) -> list[Any]:
    """Call `work(url, number)` in processes of their own, all at once; return what they returned.

    A process that raised answers nothing, so that the wait for it fails; its traceback is printed.
    """
    barrier, answers = FORKING.Barrier(times), FORKING.Queue()
    started = [
        FORKING.Process(target=_one, args=(work, url, number, barrier, answers))
        for number in range(times)
    ]
    for process in started:
        process.start()
    results = [answers.get(timeout=PATIENCE_SECONDS) for _ in started]
    for process in started:
        process.join(PATIENCE_SECONDS)
    return results


def _one(work: Callable[..., Any], url: str, number: int, barrier: Any, answers: Any) -> None:
    barrier.wait(PATIENCE_SECONDS)
    answers.put(work(url, number))


def threads_at_once(work: Callable[[int], Any], times: int = 4) -> list[Any]:
    """Call `work(number)` in threads, all at once; return what they returned, in order.

    Raises what one of them raised.
    """
    barrier = threading.Barrier(times)

    def one(number: int) -> Any:
        barrier.wait(PATIENCE_SECONDS)
        return work(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))
