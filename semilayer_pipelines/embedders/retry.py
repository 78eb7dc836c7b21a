"""How long to wait before the same request is tried again.

Knows nothing of embeddings: it turns an attempt's number and a `Retry-After` header into seconds.
It never sleeps itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MAX_ATTEMPTS", "MAX_WAIT_S", "retry_after", "wait_before_retry"]

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


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date; `None` when absent or unreadable.

    `now` is aware; a date in the past is 0 seconds.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
