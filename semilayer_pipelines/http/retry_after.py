"""What a `Retry-After` header asks for. The client imports this: it needs the standard library."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["retry_after"]

# RFC 9110 knows whole seconds; some endpoints send fractions of them.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def retry_after(header: str | None, now: datetime) -> float | None:
    """Read the header in seconds; `None` when it is absent or makes no sense.

    It is a number of seconds or an HTTP date; `now` is aware, and a date in the past is 0 seconds.
    """
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    # A time zone of many digits is the second one.
    except (ValueError, OverflowError):
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
