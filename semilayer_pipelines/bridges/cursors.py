"""Cursors and shard bounds: typed key values as JSON text.

A cursor must bring back exactly the value the database compared, so each value carries the tag of
its Python type; dates, times and UUIDs travel as the text the database itself writes. A cursor is
opaque to callers and is never parsed as a number or a date on its way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

__all__ = ["Scalar", "decode", "encode", "shown", "shown_key", "tracked"]

Scalar = int | float | str | bytes | Decimal
"""A key value as it is bound to a statement."""


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


def tracked(cursor: str) -> str:
    """Return the tracked value of a `read_changed` cursor alone, fit to be passed as `since`."""
    return encode(decode(cursor)[:1])


def shown(cursor: str) -> str:
    """Return the tracked value of a cursor as a person reads it; bytes are hexadecimal."""
    return shown_key(decode(cursor)[:1])


def shown_key(values: Sequence[Scalar]) -> str:
    """Return the values of a position as a person reads them."""
    return ", ".join(v.hex() if isinstance(v, bytes) else str(v) for v in values)
