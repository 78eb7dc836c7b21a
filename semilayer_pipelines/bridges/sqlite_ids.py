"""The values that an id may stand for in SQLite, which types values and not columns.

A column declared as integers may hold a text, a real or bytes, and the text of a key does not say
which it is. The one row that has any of them is the row that the id names.
"""

from __future__ import annotations

import re

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import SourceColumn
from semilayer_pipelines.bridges.ids import integer, is_number, typed

__all__ = ["candidates"]

_EXACT_IN_FLOAT = 2**53
_INFINITE = ("Inf", "-Inf")
_AS_WRITTEN = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?|-?\d\.\d+e[+-]\d+", re.ASCII)
_BLOB = re.compile(r"([0-9a-f]{2})+")


def candidates(column: SourceColumn, text: str) -> tuple[Scalar, ...]:
    """Return the values a key part may have, first the one that the column would store.

    Raises `ValueError` for a text that the row's own number cannot be.
    """
    if column.exact:
        return (typed(column, text, nul_in_text=True),)
    numbers = _numbers(column, text)
    blobs: list[Scalar] = [bytes.fromhex(text)] if _BLOB.fullmatch(text) else []
    match column.column.kind:
        case "boolean" if text.lower() in ("true", "false"):
            return (int(text.lower() == "true"), text)
        case "integer" | "number" | "boolean":
            # Such a column makes a number of a text that looks like one.
            return (*(numbers or [text]), *blobs)
        case "text":
            return (text, *blobs)
        case "binary":
            return (*blobs, text, *numbers)
        case _ if _AS_WRITTEN.fullmatch(text):
            return (text, *numbers, *blobs)
        case _:
            # Nothing makes the text '007' a number here: it would be another row's.
            return (text, *blobs)


def _numbers(column: SourceColumn, text: str) -> list[Scalar]:
    """Return the numbers that a text may stand for; a whole one equals the real of its value."""
    if text in _INFINITE:
        return [float(text)]
    if not is_number(text):
        return []
    try:
        whole = integer(text, column.lowest, column.highest)
    except ValueError:
        return [float(text)]
    # The digits of a large real may be those of another whole number.
    return [whole] if abs(whole) < _EXACT_IN_FLOAT else [whole, float(text)]
