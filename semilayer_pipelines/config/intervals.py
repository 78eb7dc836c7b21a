"""How often a lens may be synced by itself, and how lengths of time are written."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

__all__ = [
    "DEBOUNCE",
    "DURATION",
    "SYNC_INTERVALS",
    "SyncInterval",
    "debounce_of",
    "duration_of",
]

DURATION = r"^[1-9]\d{0,4}[mhd]$"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

SyncInterval = Literal["1m", "5m", "15m", "30m", "1h", "6h", "24h"]
SYNC_INTERVALS: dict[str, int] = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "6h": 21600,
    "24h": 86400,
}
"""Every sync interval and its length in seconds."""

DEBOUNCE = r"^(0|[1-9]\d{0,3}ms|([1-9]|[1-5]\d|60)s)$"


def debounce_of(text: str) -> timedelta:
    """Return the wait that a text such as `0`, `500ms` or `2s` names."""
    if text.endswith("ms"):
        return timedelta(milliseconds=int(text[:-2]))
    return timedelta(seconds=int(text.removesuffix("s")))


def duration_of(text: str) -> timedelta:
    """Return the length of time of a text such as `10m`, `2h` or `1d`."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
