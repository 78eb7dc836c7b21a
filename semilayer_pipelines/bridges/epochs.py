"""Numbers that may be times: seconds since 1970, or thousandths, millionths, billionths of them.

Nothing says of a number that it is one. One that lies where the clock is now is taken for a time,
and a counter that happens to be there only has some rows read once more.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal

from semilayer_pipelines.bridges.cursors import Scalar

__all__ = ["epoch_unit", "moved_to", "number_of"]

_UNITS = (1, 10**3, 10**6, 10**9)

_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def epoch_unit(value: Scalar, after: datetime, upto: datetime) -> int | None:
    """Return how many of `value` make a second if it is a time in between, else `None`."""
    number = number_of(value)
    if number is None:
        return None
    earliest, latest = Decimal(after.timestamp()), Decimal(upto.timestamp())
    return next((unit for unit in _UNITS if earliest < number / unit <= latest), None)


def moved_to(value: Scalar, unit: int, now: datetime, by: timedelta) -> Scalar:
    """Return a number of the same type, `by` earlier than `value` or `now`, the earlier of them."""
    number = number_of(value)
    assert number is not None
    back = int(min(number, Decimal(now.timestamp()) * unit) - Decimal(by.total_seconds()) * unit)
    match value:
        case str():
            return str(back).zfill(len(value.partition(".")[0]))
        case float():
            return float(back)
        case Decimal():
            return Decimal(back)
        case _:
            return back


def number_of(value: Scalar) -> Decimal | None:
    """Return a tracked value as a number, a text of digits too; `None` for what is none."""
    if isinstance(value, bytes) or (isinstance(value, str) and not _DIGITS.fullmatch(value)):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None
