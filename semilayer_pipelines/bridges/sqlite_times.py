"""Times in SQLite, which has no type for them.

Times are texts, and applications write them with `T` or with a blank between date and time, some
with both in one column (ISO from the code, CURRENT_TIMESTAMP from a default). Compared as text, a
blank sorts before `T`, so a later row of the same day would not be seen. The conditions here cover
both notations.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import SourceColumn, Split, Sql

__all__ = ["at_or_after", "later_day", "with_blank", "with_blank_sql"]

_WITH_T = re.compile(r"(\d{4}-\d\d-\d\d)T(.*)", re.DOTALL)
_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"


def at_or_after(column: SourceColumn, value: Scalar) -> Sql:
    """Return the condition that `column` is at or after `value`, a time in either notation."""
    name = column.quoted
    parts = _WITH_T.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        return Sql(f"{name} >= ?", (value,))
    day, time = parts[1], parts[2]
    # One range for the index, cut short inside it: a day's rows are looked at, not read.
    return Sql(f"{name} >= ? AND ({name} >= ? OR {name} < ?)", (f"{day} {time}", value, f"{day}T"))


def later_day(column: SourceColumn, moment: datetime) -> Split:
    """Return what tells the times of days after that of `moment`, in either notation.

    Only what looks like a date is taken for a time: a version such as `v12` sorts behind them all.
    """
    name = column.quoted
    next_day = f"{moment.astimezone(UTC) + timedelta(days=1):%Y-%m-%d}"
    # A number is no time, and sorts before every text.
    return Split(
        beyond=Sql(f"{name} >= ? AND {name} GLOB ?", (next_day, _DATE)),
        upto=Sql(f"{name} < ? OR {name} NOT GLOB ?", (next_day, _DATE)),
    )


def with_blank(value: Scalar) -> Scalar:
    """Return a value as it is but for the `T` in a time."""
    parts = _WITH_T.fullmatch(value) if isinstance(value, str) else None
    return value if parts is None else f"{parts[1]} {parts[2]}"


def with_blank_sql(expression: str) -> str:
    """Return the expression for what `with_blank` gives: times of two columns then compare."""
    return (
        f"CASE WHEN {expression} GLOB '{_DATE[:-1]}T*' "
        f"THEN substr({expression}, 1, 10) || ' ' || substr({expression}, 12) ELSE {expression} END"
    )
