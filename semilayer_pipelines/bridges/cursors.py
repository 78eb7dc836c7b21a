"""Cursors and shard bounds: typed key values as JSON text.

A cursor must bring back exactly the value the database compared, so each value carries the tag of
its Python type; dates, times and UUIDs travel as the text the database itself writes. A cursor is
opaque to callers and is never parsed as a number or a date on its way.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

__all__ = ["Scalar", "decode", "earlier", "encode", "tracked_text"]

Scalar = int | float | str | bytes | Decimal
"""A key value as it is bound to a statement."""

_TIME_TEXT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:(?P<between>[ T])(?P<time>\d\d:\d\d:\d\d)(?P<fraction>\.\d{1,6})?(?P<rest>.*))?"
)


def encode(values: Sequence[Scalar]) -> str:
    """Return the values as text, with their types."""
    return json.dumps([_tagged(value) for value in values], ensure_ascii=False)


def decode(cursor: str) -> tuple[Scalar, ...]:
    """Return the values of a cursor; raises `ValueError` for what `encode` did not write."""
    return tuple(_untagged(tag, text) for tag, text in json.loads(cursor))


def _tagged(value: Scalar) -> tuple[str, str]:
    match value:
        case int():
            return "i", str(int(value))
        case float():
            return "f", value.hex()
        case str():
            return "s", value
        case bytes():
            return "b", value.hex()
        case Decimal():
            return "n", str(value)


def _untagged(tag: str, text: str) -> Scalar:
    match tag:
        case "i":
            return int(text)
        case "f":
            return float.fromhex(text)
        case "s":
            return text
        case "b":
            return bytes.fromhex(text)
        case "n":
            return Decimal(text)
        case _:
            raise ValueError(f"not a cursor: unknown tag {tag!r}")


def tracked_text(cursor: str) -> str:
    """Return the tracked value's text of a `read_changed` cursor, fit to be passed as `since`."""
    value = decode(cursor)[0]
    return value.hex() if isinstance(value, bytes) else str(value)


def earlier(text: str, seconds: float) -> str:
    """Return a tracked text moved back by `seconds`, in the same notation.

    What is no ISO date or time (a version number, an epoch) comes back as it is: seconds have no
    meaning for it. A date without a time moves back by whole days, at least one.
    """
    parts = _TIME_TEXT.fullmatch(text)
    if parts is None:
        return text
    if parts["time"] is None:
        days = max(1, math.ceil(seconds / 86_400)) if seconds > 0 else 0
        return _moved(parts["date"], "00:00:00", "", timedelta(days=days), "T")[:10]
    moved = _moved(
        parts["date"],
        parts["time"],
        parts["fraction"] or "",
        timedelta(seconds=seconds),
        parts["between"],
    )
    return moved + parts["rest"]


def _moved(date: str, time: str, fraction: str, by: timedelta, between: str) -> str:
    try:
        moment = datetime.fromisoformat(
            f"{date}T{time}{fraction.ljust(7, '0') if fraction else ''}"
        )
        back = moment - by
    except (ValueError, OverflowError):
        # A zero date or year 1: nothing earlier can be written, so start where it stands.
        return f"{date}{between}{time}{fraction}"
    digits = f".{back.microsecond:06d}"[: len(fraction)] if fraction else ""
    return back.strftime("%Y-%m-%d").rjust(10, "0") + between + back.strftime("%H:%M:%S") + digits
