"""PostgreSQL's `pgoutput` messages (protocol version 1), as far as keys and actions need them.

Bytes in, changes of the watched tables out. It opens no connection. What names no row, such as a
TRUNCATE, is told by its table and the reason.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from semilayer_pipelines.follow.feed import RowChange
from semilayer_pipelines.http.contract import Action

__all__ = ["REMEMBERED", "Decoder", "Reader", "TableName"]

TableName = tuple[str, str]
"""Schema and name of a table, as the server has them."""

REMEMBERED = 10_000
"""Rows of a transaction that are remembered as written in it."""

_UNCHANGED = "\0unchanged"
"""Stands for a value that the server left out; no text of PostgreSQL holds a NUL."""

_UNCOVERED = "its REPLICA IDENTITY does not have the key of the lens"
_TRUNCATED = "it was truncated"
_UNTOLD = "a change did not tell the key of its row"


@dataclass(frozen=True)
class Reader:
    """Who watches a table: the name that it is watched by, and the columns that are wanted."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class _Watch:
    name: str
    places: tuple[int, ...]


@dataclass(frozen=True)
class _Relation:
    """A watched table as the stream described it last.

    `uncovered` are names by which its rows cannot be told apart. `upto`: values that are parsed.
    """

    watches: tuple[_Watch, ...]
    uncovered: tuple[str, ...]
    upto: int
    table: TableName


@dataclass
class Decoder:
    """Decodes one stream.

    `changes` and `missed` grow until they are taken. `ended` is the position behind the last whole
    transaction, 0 before one; `committed_at` when it was committed, in microseconds since 2000.
    `filtered` are tables whose publication leaves rows out: a delete may only mean that a row left
    the filter, so it is told as an upsert, which looks the row up.
    """

    tables: Mapping[TableName, Sequence[Reader]]
    filtered: AbstractSet[TableName] = frozenset()
    changes: list[RowChange] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)
    ended: int = 0
    committed_at: int = 0
    in_transaction: bool = False
    _relations: dict[int, _Relation] = field(default_factory=dict)
    _written: set[tuple[str, tuple[str | None, ...]]] = field(default_factory=set)

    def read(self, message: bytes) -> None:
        """Take one message in."""
        match message[:1]:
            case b"I":
                if relation := self._relation(message):
                    new, _ = _values(message, 6, relation.upto)
                    self._upsert(relation, new)
            case b"U":
                if relation := self._relation(message):
                    self._update(relation, message)
            case b"D":
                if relation := self._relation(message):
                    old, _ = _values(message, 6, relation.upto)
                    self._delete(relation, old)
            case b"B":
                self.in_transaction = True
                self._written.clear()
            case b"C":
                self.ended, self.committed_at = struct.unpack_from(">QQ", message, 10)
                self.in_transaction = False
            case b"R":
                self._describe(message)
            case b"T":
                self._truncate(message)
            case _:
                pass  # origin, type, message: they change no row

    def take(self) -> tuple[list[RowChange], dict[str, str]]:
        """Return `changes` and `missed`, and begin new ones."""
        taken = self.changes, self.missed
        self.changes, self.missed = [], {}
        return taken

    def _relation(self, message: bytes) -> _Relation | None:
        relation = self._relations.get(int.from_bytes(message[1:5]))
        if relation is not None and relation.uncovered:
            self.missed |= dict.fromkeys(relation.uncovered, _UNCOVERED)
        return relation

    def _update(self, relation: _Relation, message: bytes) -> None:
        old: list[str | None] | None = None
        position = 6
        if message[5:6] != b"N":
            old, position = _values(message, 6)
            position += 1
        new, _ = _values(message, position, relation.upto)
        if old is None:
            self._upsert(relation, new)
            return
        # What was left out of the new row is as it was in the old one.
        new = [o if n is _UNCHANGED else n for n, o in zip(new, old, strict=False)]
        for watch in relation.watches:
            before, after = _row(watch, old), _row(watch, new)
            if before != after:
                self._tell_gone(watch.name, before)
            self._tell_written(watch.name, after)

    def _upsert(self, relation: _Relation, values: list[str | None]) -> None:
        for watch in relation.watches:
            self._tell_written(watch.name, _row(watch, values))

    def _delete(self, relation: _Relation, values: list[str | None]) -> None:
        action = Action.UPSERT if relation.table in self.filtered else Action.DELETE
        for watch in relation.watches:
            self.changes.append(RowChange(watch.name, action, _row(watch, values)))

    def _tell_written(self, name: str, row: tuple[str | None, ...]) -> None:
        if _UNCHANGED in row:
            self.missed[name] = _UNTOLD
            return
        if len(self._written) < REMEMBERED:
            self._written.add((name, row))
        self.changes.append(RowChange(name, Action.UPSERT, row))

    def _tell_gone(self, name: str, row: tuple[str | None, ...]) -> None:
        """Tell of the key that a row had before.

        Another row may have taken it in this transaction (`SET id = id + 1`): an upsert looks.
        """
        taken = len(self._written) >= REMEMBERED or (name, row) in self._written
        self.changes.append(RowChange(name, Action.UPSERT if taken else Action.DELETE, row))

    def _describe(self, message: bytes) -> None:
        oid = int.from_bytes(message[1:5])
        schema, position = _name(message, 5)
        table, position = _name(message, position)
        # Those of the system's own schema come with an empty one.
        named = (schema or "pg_catalog", table)
        readers = self.tables.get(named)
        if readers is None:
            self._relations.pop(oid, None)
            return
        identity: dict[str, int] = {}  # places of the columns that tell an old row
        (count,) = struct.unpack_from(">H", message, position + 1)
        position += 3
        for place in range(count):
            is_key = message[position] & 1
            column, position = _name(message, position + 1)
            position += 8
            if is_key:
                identity[column] = place
        watches = tuple(
            _Watch(one.name, tuple(identity[column] for column in one.columns))
            for one in readers
            if identity.keys() >= set(one.columns)
        )
        told = {watch.name for watch in watches}
        self._relations[oid] = _Relation(
            watches,
            tuple(one.name for one in readers if one.name not in told),
            max((place + 1 for watch in watches for place in watch.places), default=0),
            named,
        )

    def _truncate(self, message: bytes) -> None:
        (count,) = struct.unpack_from(">I", message, 1)
        for oid in struct.unpack_from(f">{count}I", message, 6):
            if relation := self._relations.get(oid):
                names = (*(watch.name for watch in relation.watches), *relation.uncovered)
                self.missed |= dict.fromkeys(names, _TRUNCATED)


def _row(watch: _Watch, values: Sequence[str | None]) -> tuple[str | None, ...]:
    return tuple(values[place] for place in watch.places)


def _name(message: bytes, position: int) -> tuple[str, int]:
    end = message.index(0, position)
    return message[position:end].decode(), end + 1


def _values(message: bytes, position: int, upto: int = 65_535) -> tuple[list[str | None], int]:
    """Return the first `upto` values of a row, and where parsing ended; `None` is NULL."""
    count = min(upto, int.from_bytes(message[position : position + 2]))
    position += 2
    values: list[str | None] = []
    for _ in range(count):
        kind = message[position]
        position += 1
        if kind == 116:  # t: a text, with its length
            start = position + 4
            position = start + int.from_bytes(message[position:start])
            values.append(message[start:position].decode())
        else:
            values.append(_UNCHANGED if kind == 117 else None)  # u, n
    return values, position
