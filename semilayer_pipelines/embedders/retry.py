"""How long to wait before the same request is tried again.

Knows nothing of embeddings: it turns an attempt's number and what the endpoint asked for into
seconds. It never sleeps itself.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["MAX_ATTEMPTS", "MAX_WAIT_S", "wait_before_retry"]

MAX_ATTEMPTS = 6
"""How often one request is sent at most."""

MAX_WAIT_S = 60.0
"""The longest wait between two attempts; an endpoint that asks for more is given up at once."""

_FIRST_WAIT_S = 0.5


def wait_before_retry(failures: int, asked: float | None, random: Callable[[], float]) -> float:
    """Return the seconds to wait after `failures` failed attempts (1 or more).

    The wait doubles with each failure, and is never shorter than what the endpoint `asked` for.
    `random` gives a number in [0, 1) and spreads callers that failed together.
    """
    doubled = min(MAX_WAIT_S, _FIRST_WAIT_S * 2.0 ** (failures - 1))
    spread = random()
    return max(doubled * (0.5 + spread / 2), (asked or 0.0) + spread * _FIRST_WAIT_S)
