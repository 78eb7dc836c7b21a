"""Whether a text is a cron expression of five fields that some day fulfils.

A schedule that never comes would make Dagster look for it for ever, so it is refused with the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["cron_problem"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = dict(enumerate((31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1))
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Return what a number or a name stands for; raises `ValueError`."""
        known = text.lower()
        if known in self.words:
            return self.words.index(known) + self.low
        if not text.isascii() or not text.isdigit() or not self.low <= int(text) <= self.high:
            raise ValueError(f"{self.name}: {text!r} is not between {self.low} and {self.high}")
        return int(text)

    def values(self, text: str) -> set[int]:
        """Return the numbers that a field means; raises `ValueError`."""
        return {number for part in text.split(",") for number in self._part(part)}

    def _part(self, text: str) -> range:
        found = _PART.fullmatch(text)
        if found is None:
            raise ValueError(f"{self.name}: {text!r} is no number, range, list, * or */step")
        step = int(found["step"] or 1)
        if step == 0 or step > self.high:
            raise ValueError(f"{self.name}: a step of {step} is not between 1 and {self.high}")
        if found["first"] is None:
            return range(self.low, self.high + 1, step)
        first = self.number(found["first"])
        last = self.number(found["last"]) if found["last"] else first
        if found["step"] and not found["last"]:
            raise ValueError(f"{self.name}: write {first}-{self.high}/{step} or */{step}")
        if last < first:
            raise ValueError(f"{self.name}: {text!r} ends before it begins")
        return range(first, last + 1, step)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)


def cron_problem(text: str) -> str | None:
    """Return what is wrong with a cron expression, `None` for one that some day fulfils."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        return f"a cron expression has five fields ({names}); {text!r} has {len(parts)}"
    try:
        values = [field.values(part) for field, part in zip(_FIELDS, parts, strict=True)]
    except ValueError as error:
        return str(error)
    days, months = values[2], values[3]
    if min(days) > max(_LONGEST[month] for month in months):
        return f"no month of these has a day {min(days)}"
    return None
