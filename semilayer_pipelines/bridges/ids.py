"""Ids from outside, read as the key values they stand for.

One malformed id spoils nothing but itself: it gets a reason a person can act on. Only the canonical
text of a value counts, so that a row has one id and one id names one row.
"""

from __future__ import annotations

import itertools
import re
import struct
import uuid
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

import polars as pl

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Database, SourceColumn
from semilayer_pipelines.bridges.row_key import key_parts

__all__ = ["integer", "parse_ids", "typed"]

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6})(\+00:00)?")


def parse_ids(
    db: Database, key: Sequence[SourceColumn], ids: Iterable[str]
) -> tuple[dict[str, list[tuple[Scalar, ...]]], dict[str, str]]:
    """Return the key values each id may stand for, and the ids that are malformed with the reason.

    A loop over ids, not a frame: each gets its own verdict, and there are few of them.
    """
    wanted: dict[str, list[tuple[Scalar, ...]]] = {}
    malformed: dict[str, str] = {}
    for text in dict.fromkeys(ids):
        try:
            text.encode()
            parts = key_parts(text, len(key))
            options = [db.candidates(c, part) for c, part in zip(key, parts, strict=True)]
        except UnicodeEncodeError:
            malformed[text] = "not valid Unicode text (a lone surrogate)"
        except ValueError as error:
            malformed[text] = str(error)
        else:
            wanted[text] = list(itertools.product(*options))
    return wanted, malformed


def integer(text: str, lowest: int, highest: int) -> int:
    """Read a canonical integer within a column's range; raises `ValueError` with the reason."""
    # The length is checked first: Python refuses to read integers of thousands of digits.
    if len(text) > 40 or not _INTEGER.fullmatch(text):
        try:
            meant = f"; write it as '{int(text)}'" if len(text) <= 40 and text.isascii() else ""
        except ValueError:
            meant = ""
        raise ValueError(f"not an integer in its canonical form{meant}")
    value = int(text)
    if not lowest <= value <= highest:
        raise ValueError(f"out of range for the key column ({lowest} to {highest})")
    return value


def typed(column: SourceColumn, text: str, *, nul_in_text: bool) -> Scalar:
    """Read the text of one key part as the column's kind; raises `ValueError` with the reason."""
    if "\0" in text and not nul_in_text:
        raise ValueError("holds a NUL character, which the database's texts cannot")
    match column.column.kind:
        case "integer":
            return integer(text, column.lowest, column.highest)
        case "boolean" if column.dtype.is_integer():
            return integer(text, column.lowest, column.highest)
        case "uuid":
            return _uuid(text)
        case "boolean":
            if text not in ("true", "false"):
                raise ValueError("not 'true' or 'false'")
            return int(text == "true")
        case "number":
            return _number(text, column.dtype)
        case "date":
            return date.fromisoformat(text).isoformat()
        case "datetime":
            return _moment(text)
        case "binary":
            return _bytes(text)
        case "text" | "json" | "other":
            return text


def _uuid(text: str) -> str:
    try:
        canonical = str(uuid.UUID(text))
    except ValueError:
        raise ValueError("not a UUID") from None
    if canonical != text:
        raise ValueError(f"not a UUID in its canonical form; write it as '{canonical}'")
    return text


def _number(text: str, dtype: pl.DataType) -> Scalar:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not value.is_finite():
        raise ValueError("not a finite number")
    if not dtype.is_float():
        return value
    if isinstance(dtype, pl.Float64):
        return float(value)
    try:
        # Compared as a double, the single nearest to 0.1 is not 0.1.
        (single,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        raise ValueError("out of range for the key column") from None
    return float(single)


def _moment(text: str) -> str:
    parts = _MOMENT.fullmatch(text)
    if parts is None:
        raise ValueError("not a time written as YYYY-MM-DD HH:MM:SS.ffffff")
    datetime.fromisoformat(parts[1])
    return parts[1]


def _bytes(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = None
    if value is None or value.hex() != text:
        raise ValueError("not lower-case hexadecimal digits, which a binary key is written in")
    return value
