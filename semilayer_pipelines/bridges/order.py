"""Whether texts sort by time, which a tracked column of texts has to.

`10/15/2023` sorts before `11/01/2022`: a walk in that order would pass rows by and never come back.
Only texts that provably sort are accepted: ISO 8601 in one zone, digits of one length, and
identifiers that begin with their time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from semilayer_pipelines.bridges.times import zone_of

__all__ = ["ORDERED_TYPES", "out_of_order"]

ORDERED_TYPES = ("pg_lsn", "xid8")
"""Types without a kind of their own that the database itself sorts by time."""

_UTC = ("", "Z", "+00", "+0000", "+00:00", "-00:00")
_DIGITS = re.compile(r"\d+")
_BASIC_ISO = re.compile(r"\d{8}T\d{6}(\.\d+)?Z?")
_YEAR_FIRST = re.compile(r"(19|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d*")
_DATE_LENGTHS = (8, 12, 14, 17)
"""Lengths of digits that may well be a date: YYYYMMDD, with hours and minutes, seconds, millis."""

_TIME_FIRST = (
    re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}"),  # UUID 7
    re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}"),  # ULID
)


def out_of_order(texts: Sequence[str], *, both_notations: bool) -> str | None:
    """Return one of the texts that shows that they do not sort by time; `None` when they do.

    `both_notations` says that `T` and a blank between date and time may stand side by side.
    """
    if not texts:
        return None
    zones = {text: zone_of(text) for text in texts}
    if all(zone is not None for zone in zones.values()):
        return _of_times(zones, both_notations=both_notations)
    odd = [text for text, zone in zones.items() if zone is None]
    if len(odd) < len(zones):
        return odd[0]
    for one in _TIME_FIRST:
        if all(one.fullmatch(text) for text in texts):
            return None
    return _of_digits(texts)


def _of_times(zones: dict[str, str | None], *, both_notations: bool) -> str | None:
    first, *rest = zones
    for text in rest:
        same_zone = zones[text] == zones[first] or {zones[text], zones[first]} <= {*_UTC}
        other_notation = len(text) > 10 and len(first) > 10 and text[10] != first[10]
        if not same_zone or (other_notation and not both_notations):
            return text
    return None


def _of_digits(texts: Sequence[str]) -> str | None:
    first = texts[0]
    for text in texts:
        plain = text.replace("T", "").replace("Z", "") if _BASIC_ISO.fullmatch(text) else text
        whole, _, fraction = plain.partition(".")
        as_date = len(whole) not in _DATE_LENGTHS or _YEAR_FIRST.fullmatch(whole)
        if len(text) != len(first) or not _DIGITS.fullmatch(whole + fraction) or not as_date:
            return text
    return None
