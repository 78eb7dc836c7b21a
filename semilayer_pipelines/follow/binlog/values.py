"""Key values of a row event as texts, the way the server writes them.

The log has values in the server's own storage form, and the reader turns them into Python objects:
a BINARY loses its trailing zero bytes, a UUID is sixteen bytes, the year 0 comes as 1900. Each type
that a key may have is put right here. A value that cannot be is refused, never guessed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

__all__ = ["KEY_CHARSETS", "KEY_TYPES", "Unreadable", "text_of"]

KEY_CHARSETS = frozenset({"ascii", "latin1", "utf8", "utf8mb3", "utf8mb4"})
"""Character sets whose texts are read exactly."""

_ZERO_TIMESTAMP = datetime(1970, 1, 1)
_ZERO_YEAR = 1900


class Unreadable(ValueError):
    """A key value that the log does not tell, or that cannot be read exactly."""


def text_of(data_type: str, value: object, column: Any) -> str:
    """Return a value as text; `data_type` is the column's, `column` the reader's description.

    Raises `Unreadable`.
    """
    try:
        return _TEXTS[data_type](value, column)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise Unreadable(f"a {data_type} value cannot be read from the log") from error


def _plain(value: Any, column: Any) -> str:
    if type(value) is not int:
        raise Unreadable("not an integer")
    return str(value)


def _year(value: Any, column: Any) -> str:
    return "0" if value == _ZERO_YEAR else str(int(value))


def _bit(value: Any, column: Any) -> str:
    return str(int(value, 2))


def _decimal(value: Any, column: Any) -> str:
    if not isinstance(value, Decimal):
        raise Unreadable("not a decimal")
    return f"{value:f}"


def _float(value: Any, column: Any) -> str:
    return repr(float(value))


def _text(value: Any, column: Any) -> str:
    # Bytes are what the reader gives for a character set that it does not know.
    if not isinstance(value, str):
        raise Unreadable("a text in an unknown character set")
    return value


def _bytes(value: Any) -> bytes:
    # The reader has an empty text for no bytes.
    return b"" if value == "" else bytes(value)


def _padded(value: Any, column: Any) -> str:
    return _bytes(value).ljust(column.max_length, b"\0").hex()


def _hex(value: Any, column: Any) -> str:
    return _bytes(value).hex()


def _uuid(value: Any, column: Any) -> str:
    return str(uuid.UUID(bytes=_bytes(value).ljust(16, b"\0")))


def _date(value: Any, column: Any) -> str:
    if not isinstance(value, date):
        raise Unreadable("not a date of the calendar")
    return value.isoformat()


def _datetime(value: Any, column: Any) -> str:
    if not isinstance(value, datetime):
        raise Unreadable("not a time of the calendar")
    return value.isoformat(sep=" ", timespec="microseconds")


def _timestamp(value: Any, column: Any) -> str:
    # No TIMESTAMP is as early: this is the zero one.
    if value == _ZERO_TIMESTAMP:
        digits = f".{'0' * column.fsp}" if column.fsp else ""
        return f"0000-00-00 00:00:00{digits}"
    return _datetime(value, column)


_TEXTS: dict[str, Callable[[Any, Any], str]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), _plain),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), _text),
    **dict.fromkeys(("varbinary", "tinyblob", "blob", "mediumblob", "longblob"), _hex),
    **dict.fromkeys(("float", "double"), _float),
    "enum": _text,
    "binary": _padded,
    "uuid": _uuid,
    "decimal": _decimal,
    "year": _year,
    "bit": _bit,
    "date": _date,
    "datetime": _datetime,
    "timestamp": _timestamp,
}

KEY_TYPES = frozenset(_TEXTS)
"""Types, as the server names them, whose values are read exactly."""
