"""Times as texts, which is how sources hand them over: moved back without losing a digit.

A text keeps its own notation (blank or `T`, fraction, zone), because the database compares it with
texts of that notation. Without a zone it is taken for UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = ["is_ahead", "is_over", "is_time", "start_before", "zone_of"]

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
_ZONES = timedelta(hours=14)
"""How far a clock on the wall may be from UTC, somewhere."""

_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:(?P<between>[ T])(?P<time>\d\d:\d\d(?P<seconds>:\d\d)?)(?P<fraction>\.\d{1,9})?"
    r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?"
)


def is_time(text: str) -> bool:
    """Say whether a text is an ISO date, or a date and a time."""
    return _TIME.fullmatch(text) is not None


def zone_of(text: str) -> str | None:
    """Return the zone of an ISO date or time, empty without one; `None` of what is no time."""
    parts = _TIME.fullmatch(text)
    return None if parts is None else parts["zone"] or ""


def is_over(text: str, now: datetime, by: timedelta) -> bool:
    """Say whether nobody's clock can still show the time in `text`, since `by` at least.

    A date lasts a day, a time without seconds a minute. Without a zone it may be a time of any
    zone; for one with seconds that is left to the caller. A time that no calendar has is over.
    """
    parts = _parts(text)
    lasts = _SECOND if parts["seconds"] else _MINUTE if parts["time"] else _DAY
    if parts["zone"] is None and not parts["seconds"]:
        lasts += _ZONES
    try:
        zone = parts["zone"] or "+00:00"
        begins = datetime.fromisoformat(f"{parts['date']}T{parts['time'] or '00:00'}{zone}")
        return begins + lasts + by <= now
    except (ValueError, OverflowError):
        return True


def is_ahead(text: str, now: datetime) -> bool:
    """Say whether a time is later than `now`; one that no calendar has is not."""
    try:
        return _moment(_parts(text)) > now
    except (ValueError, OverflowError):
        return False


def start_before(text: str, now: datetime, by: timedelta) -> str:
    """Return a time `by` earlier than `text` or than `now`, whichever is the earlier, as a text.

    The notation stays; what it has no digits for is cut off, which is earlier still. A date without
    a time moves back by whole days, at least one. A time that no calendar has (a zero date) and one
    before the year 1 come back as they are. Raises `ValueError` for what is no ISO time.
    """
    parts = _parts(text)
    fraction, zone = _fraction(parts), parts["zone"] or ""
    try:
        moment = _moment(parts)
        back = min(moment, now.astimezone(moment.tzinfo or UTC)) - by
    except (ValueError, OverflowError):
        return text
    day = back.strftime("%Y-%m-%d").rjust(10, "0")
    if parts["time"] is None:
        return day
    clock = back.strftime("%H:%M:%S" if parts["seconds"] else "%H:%M")
    digits = f".{back.microsecond:06d}"[: len(fraction)] if fraction else ""
    return day + parts["between"] + clock + digits + zone


def _parts(text: str) -> re.Match[str]:
    parts = _TIME.fullmatch(text)
    if parts is None:
        raise ValueError(f"not an ISO time: {text!r}")
    return parts


def _fraction(parts: re.Match[str]) -> str:
    """Return the fraction of a second with its point, as far as a `datetime` holds it."""
    return (parts["fraction"] or "")[:7]


def _moment(parts: re.Match[str]) -> datetime:
    """Return the moment of an ISO time; raises `ValueError` for one that no calendar has."""
    fraction = _fraction(parts)
    return datetime.fromisoformat(
        f"{parts['date']}T{parts['time'] or '00:00'}"
        f"{fraction.ljust(7, '0') if fraction else ''}{parts['zone'] or '+00:00'}"
    )
