"""Where an incremental walk starts in SQLite, which has no type for times.

Times are texts, and applications write them with `T` or with a blank between date and time, some
with both in one column (ISO from the code, CURRENT_TIMESTAMP from a default). Compared as text, a
blank sorts before `T`, so a later row of the same day would not be seen. The start covers both.
"""

from __future__ import annotations

import re

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import SourceColumn, Sql

__all__ = ["at_or_after"]

_WITH_T = re.compile(r"(\d{4}-\d\d-\d\d)T(.*)", re.DOTALL)
_INTEGER = re.compile(r"-?\d{1,18}")


def at_or_after(column: SourceColumn, text: str) -> Sql:
    """Return the condition that `column` is at or after `text`, in either notation."""
    name = column.quoted
    parts = _WITH_T.fullmatch(text)
    if parts is None:
        # A column without a declared type compares a number with a text as "smaller", always.
        value: Scalar = text
        if column.column.kind != "text" and _INTEGER.fullmatch(text):
            value = int(text)
        return Sql(f"{name} >= ?", (value,))
    day, time = parts[1], parts[2]
    # One range for the index, cut short inside it: a day's rows are looked at, not read.
    return Sql(f"{name} >= ? AND ({name} >= ? OR {name} < ?)", (f"{day} {time}", text, f"{day}T"))
