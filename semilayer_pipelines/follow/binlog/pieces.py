"""From events of the log to changes of watched rows.

Row events have the key in the image before an update, after it, or both: with
`binlog_row_image = MINIMAL` an unchanged key is in the one before alone. What an event does not
tell is missed, with the reason: nothing is told under a key that may be wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from semilayer_pipelines.follow.binlog.server import LogPlace, WatchedTable
from semilayer_pipelines.follow.binlog.statements import concerns
from semilayer_pipelines.follow.binlog.values import Unreadable, text_of
from semilayer_pipelines.follow.feed import RowChange, Watched
from semilayer_pipelines.http.contract import Action

__all__ = ["Piece", "Tables"]

logger = logging.getLogger(__name__)

_NOT_THERE = "cols bitmap"
_NULL = "null"


@dataclass
class Piece:
    """A stretch of a transaction: what changed, and where in the log it ends.

    `gtid` is its transaction, which has `ended` with it or goes on. `written_at` is when it was
    written, in seconds since 1970. `position` is how far all is read then, where that is told.
    """

    changes: list[RowChange] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)
    gtid: str = ""
    place: LogPlace = (0, "", 0)
    ended: bool = False
    position: str | None = None
    written_at: float = 0.0

    @property
    def tells(self) -> bool:
        """Say whether something happened; a server that is idle only says that it lives."""
        return bool(self.ended or self.changes or self.missed)


class Tables:
    """The watched tables, by their places in the database."""

    def __init__(self, watched: Watched, known: Mapping[str, WatchedTable]) -> None:
        self._watched = watched
        self._known = {name: table for name, table in known.items() if not table.is_view}
        self._names: dict[tuple[str, str], list[str]] = {}
        for name, table in self._known.items():
            self._names.setdefault((table.schema, table.name), []).append(name)

    @property
    def schemas(self) -> list[str]:
        """The schemas that have watched tables."""
        return sorted({schema for schema, _ in self._names})

    @property
    def tables(self) -> list[str]:
        """The names of watched tables in their schemas."""
        return sorted({table for _, table in self._names})

    def named(self, schema: str, table: str) -> list[str]:
        """Return the names that lenses write for a table."""
        return self._names.get((schema, table), [])

    def all_missed(self, why: str) -> dict[str, str]:
        """Return that something was missed of every table."""
        return dict.fromkeys(self._watched, why)

    def of_statement(self, statement: str, verb: str) -> dict[str, str]:
        """Return the tables that a statement may have changed, and how that is said."""
        return {
            name: f"{verb} was run"
            for name in self._watched
            if concerns(statement, *self._place(name))
        }

    def _place(self, name: str) -> tuple[str, str]:
        # One that is not there now may have been there when the statement was run.
        table = self._known.get(name)
        schema, _, alone = name.rpartition(".")
        return (schema, alone) if table is None else (table.schema, table.name)

    def cascaded(self, names: Iterable[str]) -> dict[str, str]:
        """Return those tables of which a foreign key may have changed rows, and how it is said."""
        why = "a foreign key may have changed rows, which the log does not tell"
        return {name: why for name in names if self._known[name].cascades}

    def read(
        self, event: Any, names: Sequence[str], columns: Mapping[str, Any], piece: Piece
    ) -> None:
        """Add what a row event tells of a table, by the names that lenses write, to a piece."""
        try:
            rows = event.rows
        except Exception as error:  # whatever the reader stumbles over, it is one event's fault
            logger.debug("a row event cannot be decoded", exc_info=error)
            why = f"rows in the log cannot be read ({type(error).__name__})"
            piece.missed |= dict.fromkeys(names, why)
            return
        action = Action.DELETE if type(event).__name__.startswith("Delete") else Action.UPSERT
        for name in names:
            try:
                for row in rows:
                    piece.changes += self._changes(name, action, row, columns)
            except Unreadable as error:
                piece.missed[name] = str(error)

    def _changes(
        self, name: str, action: Action, row: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> list[RowChange]:
        if "after_values" in row:
            before = self._key(name, row["before_values"], row["before_none_sources"], columns)
            after = self._key(
                name, row["after_values"], row["after_none_sources"], columns, unchanged=before
            )
            moved = [RowChange(name, Action.DELETE, before)] if after != before else []
            return [*moved, RowChange(name, Action.UPSERT, after)]
        key = self._key(name, row["values"], row["none_sources"], columns)
        return [RowChange(name, action, key)]

    def _key(
        self,
        name: str,
        values: Mapping[str, Any],
        why_none: Mapping[str, str],
        columns: Mapping[str, Any],
        unchanged: tuple[str | None, ...] | None = None,
    ) -> tuple[str | None, ...]:
        table, parts = self._known[name], list[str | None]()
        for place, column in enumerate(self._watched[name]):
            if column not in values or column not in table.columns:
                raise Unreadable(f"the log has no column {column!r} for it")
            value = values[column]
            if value is not None:
                parts.append(text_of(table.columns[column].data_type, value, columns[column]))
            elif why_none.get(column) == _NULL:
                parts.append(None)
            elif why_none.get(column) == _NOT_THERE and unchanged is not None:
                parts.append(unchanged[place])
            else:
                raise Unreadable(f"the log does not tell {column!r} of a row")
        return tuple(parts)
