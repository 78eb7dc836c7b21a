"""What the headers of an endpoint tell of its rate limits: what is left, and until when.

OpenAI and Azure write `x-ratelimit-remaining-tokens: 149984` and `x-ratelimit-reset-tokens: 6m0s`;
others write seconds, or a minute into the names (`x-ratelimit-remaining-req-minute`). A project of
OpenAI's may have a limit of its own beside that of its account, in names with `project-tokens`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KINDS", "Left", "left", "seconds_of"]

_UNITS = {
    "d": 86_400.0,
    "h": 3_600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 0.001,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_NAMES = {
    "requests": ("requests", "req-minute", "requests-minute"),
    "tokens": ("tokens", "tokens-minute"),
    "project tokens": ("project-tokens",),
}

KINDS = tuple(_NAMES)
"""What limits are of: each is told, and spent, by itself."""


@dataclass(frozen=True)
class Left:
    """What is left of a limit (`remaining` of `limit`), which is whole again in `reset` seconds."""

    remaining: int
    reset: float
    limit: int | None = None


def left(headers: Mapping[str, str], of: str) -> Left | None:
    """Return what is left of a limit, of one of `KINDS`; `None` where the headers do not say.

    Without the time of its reset, what remains says nothing: it may be whole in a moment.
    """
    for name in _NAMES[of]:
        remaining = _whole(headers.get(f"x-ratelimit-remaining-{name}"))
        reset = seconds_of(headers.get(f"x-ratelimit-reset-{name}"))
        if remaining is not None and reset is not None:
            return Left(remaining, reset, _whole(headers.get(f"x-ratelimit-limit-{name}")))
    return None


def seconds_of(text: str | None) -> float | None:
    """Read a duration: `6m0s`, `1h2m3.5s`, `20ms` or a number of seconds; `None` for others."""
    text = (text or "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(float(text)) if _NUMBER.fullmatch(text) else None
