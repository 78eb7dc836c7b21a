"""Ids from outside, read as the key values they stand for.

Callers spell ids as their own tools do: a UUID in capitals, `007`, `7.0`, a time with a `T`. What
an id means is read here as the type of the key column has it, and never by a database's own
conversions: MariaDB takes `abc` for 0. Which row has that value is the database's to say. One
malformed id spoils nothing but itself: it gets a reason a person can act on.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Context, Decimal

import polars as pl

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import Database, SourceColumn
from semilayer_pipelines.bridges.row_key import key_parts

__all__ = ["as_number", "integer", "is_number", "parse_ids", "portions", "scale", "typed"]

_MOST_CHARACTERS = 1_000
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?\s*", re.ASCII | re.IGNORECASE)
_EXACT = Context(prec=3 * _MOST_CHARACTERS)
_SCALE = re.compile(r"(?:numeric|decimal)\(\d+(?:,(\d+))?\)")
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_TRUTHS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), 1),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), 0),
}
# What the calendars of Python do not have and databases write: `infinity`, `0000-00-00`.
_OWN_MOMENT = re.compile(
    r"-?infinity|\d{4,6}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d{1,6})?(\+00)?)?( BC)?", re.ASCII
)
_TIMES_OF_DAY = re.compile(r"time(\(\d\))?( with(out)? time zone)?")
_TIME_OF_DAY = re.compile(r"-?\d{1,3}:\d\d(:\d\d(\.\d{1,6})?)?([+-]\d\d(:\d\d)?)?", re.ASCII)
_HEX_UUID = re.compile(r"[0-9a-f]{32}")
_DASHED_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
        except (ValueError, RecursionError) as error:
            malformed[text] = str(error)
        else:
            wanted[text] = list(itertools.product(*options))
    return wanted, malformed


def portions(
    wanted: Mapping[str, Sequence[object]], ids: Iterable[str], most: int
) -> list[list[str]]:
    """Return ids in lists that stand for up to `most` values together; each has one id at least."""
    found: list[list[str]] = []
    room = 0
    for id in ids:
        room -= len(wanted[id])
        if room < 0:
            found.append([])
            room = most - len(wanted[id])
        found[-1].append(id)
    return found


def is_number(text: str) -> bool:
    """Say whether a text is a finite number, in any usual notation."""
    return len(text) <= _MOST_CHARACTERS and _NUMBER.fullmatch(text) is not None


def as_number(text: str) -> Decimal:
    """Read a finite number; raises `ValueError` with the reason."""
    if not is_number(text):
        raise ValueError("not a finite number")
    return Decimal(text.strip())


def integer(text: str, lowest: int, highest: int) -> int:
    """Read an integer within a column's range; raises `ValueError` with the reason."""
    if not is_number(text):
        raise ValueError("not an integer")
    value = Decimal(text.strip())
    # First, because an integer of a thousand digits takes long to make.
    if not lowest <= value <= highest:
        raise ValueError(f"out of range for the key column ({lowest} to {highest})")
    if value != int(value):
        raise ValueError("not an integer")
    return int(value)


def scale(column: SourceColumn) -> int | None:
    """Return how many digits a decimal column has behind the point, `None` for any number."""
    declared = _SCALE.match(column.column.database_type)
    return int(declared[1] or 0) if declared else None


def typed(column: SourceColumn, text: str, *, nul_in_text: bool) -> Scalar:
    """Read the text of one key part as the column's kind; raises `ValueError` with the reason."""
    if "\0" in text and not nul_in_text:
        raise ValueError("holds a NUL character, which the database's texts cannot")
    match column.column.kind:
        case "boolean" if column.dtype.is_integer() and text.strip().lower() in ("true", "false"):
            return _TRUTHS[text.strip().lower()]
        case "integer":
            return integer(text, column.lowest, column.highest)
        case "boolean" if column.dtype.is_integer():
            return integer(text, column.lowest, column.highest)
        case "boolean":
            return _truth(text)
        case "uuid":
            return _uuid(text)
        case "number":
            return _number(column, text)
        case "date":
            return _date(text)
        case "datetime":
            return _moment(text, zoned=column.dtype == pl.Datetime("us", "UTC"))
        case "binary":
            return _bytes(text)
        case "other" if _TIMES_OF_DAY.fullmatch(column.column.database_type):
            if not _TIME_OF_DAY.fullmatch(text.strip()):
                raise ValueError("not a time of day")
            return text.strip()
        case "text" | "json" | "other":
            return text


def _truth(text: str) -> int:
    found = _TRUTHS.get(text.strip().lower())
    if found is None:
        raise ValueError("not 'true' or 'false'")
    return found


def _uuid(text: str) -> str:
    bare = text.strip().lower().removeprefix("urn:uuid:").strip("{}").replace("-", "")
    if not _HEX_UUID.fullmatch(bare):
        raise ValueError("not a UUID")
    return "-".join((bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]))


def _number(column: SourceColumn, text: str) -> Scalar:
    # MariaDB, whose type is called otherwise, has no such values, and would take the text for 0.
    if text in _NO_NUMBERS and column.column.database_type.startswith("numeric"):
        return text
    value = as_number(text)
    if isinstance(column.dtype, pl.Float64):
        return float(value)
    if isinstance(column.dtype, pl.Float32):
        return _single(value)
    digits = scale(column)
    if digits is None:
        return value
    written = value.quantize(Decimal(1).scaleb(-digits), context=_EXACT)
    if written != value:
        raise ValueError(f"a number with more than the {digits} decimals of the key column")
    return written


def _single(value: Decimal) -> float:
    try:
        # Compared as a double, the single nearest to 0.1 is not 0.1.
        (single,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        raise ValueError("out of range for the key column") from None
    return float(single)


def _read_moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("not a time written as YYYY-MM-DD HH:MM:SS") from None


def _date(text: str) -> str:
    if _OWN_MOMENT.fullmatch(text):
        return text
    moment = _read_moment(text)
    if moment.time() != time():
        raise ValueError("a time of day, where the key column has dates")
    return moment.date().isoformat()


def _moment(text: str, *, zoned: bool) -> str:
    try:
        moment = _read_moment(text)
        if zoned and moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if _OWN_MOMENT.fullmatch(text):
            return text
        raise ValueError(str(error)) from None
    if moment.utcoffset():
        raise ValueError("a time with an offset from UTC, where the key column has none")
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _bytes(text: str) -> bytes:
    digits = text.strip().lower()
    for prefix in ("\\x", "0x"):
        digits = digits.removeprefix(prefix)
    if _DASHED_UUID.fullmatch(digits):
        digits = digits.replace("-", "")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError("not hexadecimal digits, which a binary key is written in") from None
