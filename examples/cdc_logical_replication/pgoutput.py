"""PostgreSQL's `pgoutput` messages (protocol version 1), as far as ids and actions need them.

Bytes in, whole transactions out. It opens no connection, and never hands out a part of a
transaction.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Decoder", "Transaction", "UnreadableStream"]


class UnreadableStream(Exception):
    """The stream lacks what is needed to name the row; the message says what to do."""


@dataclass(frozen=True)
class Transaction:
    """What one commit did: (id, action) in order; `end` is the log position right behind it."""

    changes: tuple[tuple[str, str], ...]
    end: int


@dataclass(frozen=True)
class _Table:
    name: str
    key: tuple[int, ...]  # where the key's columns are, in the key's order


class Decoder:
    """Collects the changes of the open transaction; knows a row by the given key columns."""

    def __init__(self, key: Sequence[str]) -> None:
        self._key = tuple(key)
        self._tables: dict[int, _Table] = {}
        self._open: list[tuple[str, str]] = []

    def read(self, message: bytes) -> Transaction | None:
        """Take one message in; return the transaction when it was its commit.

        Raises `UnreadableStream`.
        """
        match message[:1]:
            case b"B":
                self._open = []
            case b"R":
                self._relation(message)
            case b"I":
                (table,) = struct.unpack_from(">I", message, 1)
                self._open.append((self._id(table, message, 6), "upsert"))
            case b"U":
                self._update(message)
            case b"D":
                (table,) = struct.unpack_from(">I", message, 1)
                self._open.append((self._id(table, message, 6), "delete"))
            case b"C":
                (end,) = struct.unpack_from(">Q", message, 10)
                done, self._open = tuple(self._open), []
                return Transaction(done, end)
            case _:
                return None  # origin, type, truncate, message: they change no row by its id
        return None

    def _relation(self, message: bytes) -> None:
        (oid,) = struct.unpack_from(">I", message, 1)
        schema, position = _text(message, 5)
        table, position = _text(message, position)
        (count,) = struct.unpack_from(">H", message, position + 1)
        position += 3
        columns = []
        for _ in range(count):  # a handful, once a table
            name, position = _text(message, position + 1)
            columns.append(name)
            position += 8
        missing = [name for name in self._key if name not in columns]
        if missing:
            raise UnreadableStream(f"{schema}.{table} has no column {', '.join(missing)}")
        self._tables[oid] = _Table(f"{schema}.{table}", tuple(map(columns.index, self._key)))

    def _update(self, message: bytes) -> None:
        (table,) = struct.unpack_from(">I", message, 1)
        position = 6
        if message[5:6] in (b"K", b"O"):
            # The key may have changed. Not 'delete': another row may have taken the old key in the
            # same transaction; an upsert of a row that is gone removes it from the index.
            old = self._id(table, message, position)
            _, position = _values(message, position)
            position += 1
            self._open.append((old, "upsert"))
        self._open.append((self._id(table, message, position), "upsert"))

    def _id(self, table: int, message: bytes, position: int) -> str:
        known = self._tables[table]
        values, _ = _values(message, position)
        parts = [values[place] for place in known.key]
        if None in parts:
            raise UnreadableStream(
                f"{known.name}: the stream does not say all of ({', '.join(self._key)}); "
                "these columns must be its primary key or its REPLICA IDENTITY"
            )
        if len(parts) == 1:
            return str(parts[0])
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def _text(message: bytes, position: int) -> tuple[str, int]:
    end = message.index(0, position)
    return message[position:end].decode(), end + 1


def _values(message: bytes, position: int) -> tuple[list[str | None], int]:
    """Return a row's values and where it ends; null, and what the stream leaves out, is `None`."""
    (count,) = struct.unpack_from(">H", message, position)
    position += 2
    values: list[str | None] = []
    for _ in range(count):  # the columns of one row
        kind = message[position : position + 1]
        position += 1
        if kind == b"t":
            (length,) = struct.unpack_from(">I", message, position)
            values.append(message[position + 4 : position + 4 + length].decode())
            position += 4 + length
        else:
            values.append(None)
    return values, position
