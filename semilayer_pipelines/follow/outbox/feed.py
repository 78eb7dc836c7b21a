"""The feed of an outbox: notes that triggers wrote in the transactions that made the changes.

What was read is deleted after it is kept, and only exactly that, never "all up to a number": a
transaction that commits late may have lower numbers. Two that change one row stand in the order of
their commits all the same, because the row's lock made one wait for the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from semilayer_pipelines.bridges.postgres_names import quoted
from semilayer_pipelines.follow.feed import Batch, Lag, RowChange, Watched
from semilayer_pipelines.follow.outbox import sql
from semilayer_pipelines.follow.outbox.tables import NotedTable, noted_tables
from semilayer_pipelines.follow.postgres import Session
from semilayer_pipelines.http.contract import Action

__all__ = ["OutboxFeed"]

_Note = tuple[int, str, str, list[str | None] | None]
"""Its number, the mark of its table, the action, and the texts of the key's columns."""

_AT_ONCE = 5_000
_IDLE_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = 30.0
_ANOTHER = "it, or a partition of it, is another table than before, or was not noted"
_NOT_NOTED = "its triggers are missing, disabled or of another key: run `semilayer cdc install`"


class OutboxFeed:
    """A `Feed` over the outbox called `name`.

    Its position has the shapes of the watched tables: where one is another than it was, rows came
    or went with a partition, or with the whole table, and no trigger fired.
    """

    def __init__(self, session: Session, name: str, watched: Watched, position: str | None) -> None:
        self._session = session
        self._name = name
        self._watched = watched
        self._tables = {sql.label(table, columns): table for table, columns in watched.items()}
        self._shapes: Mapping[str, str] | None = None if position is None else json.loads(position)
        self._looked_at = -_LOOK_AGAIN_SECONDS
        self._unconfirmed: list[int] = []
        outbox = f"{quoted(name)}.changes"
        self._read = (
            f"SELECT seq, watched, action, row_key FROM {outbox} ORDER BY seq LIMIT {_AT_ONCE}"
        )
        # A join: "= ANY" of thousands of numbers takes seconds on a table without statistics.
        self._delete = (
            f"DELETE FROM {outbox} AS noted USING unnest(%s::bigint[]) AS kept (seq) "
            "WHERE noted.seq = kept.seq"
        )
        self._lag = (
            f"SELECT pg_catalog.pg_relation_size('{outbox}'), "
            "extract(epoch FROM clock_timestamp() - changed_at)::float8 "
            f"FROM {outbox} ORDER BY seq LIMIT 1"
        )

    def read(self, seconds: float) -> Batch | None:
        """Return the oldest notes, oldest first; `None` when none came for that long."""
        until = time.monotonic() + seconds
        while True:
            missed = self._reshaped()
            rows = self._session.rows(self._read)
            if rows or missed:
                return self._batch(rows, missed)
            left = until - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(_IDLE_SECONDS, left))

    def confirm(self, position: str) -> None:
        """Delete what was read."""
        if self._unconfirmed:
            self._session.rows(self._delete, (self._unconfirmed,))
            self._unconfirmed = []

    def lag(self) -> Lag:
        """Return the bytes of the outbox and the age of its oldest note."""
        rows = self._session.rows(self._lag)
        return Lag(int(rows[0][0]), max(0.0, float(rows[0][1]))) if rows else Lag(0, 0.0)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _batch(
        self, rows: list[tuple[int, str, str, list[str | None] | None]], missed: dict[str, str]
    ) -> Batch:
        changes: list[RowChange] = []
        for _, mark, action, key in rows:
            table = self._tables.get(mark)
            if table is None:
                # Of a table that no lens has any more, or with other key columns than it has now.
                before = mark.rpartition("/")[0]
                if before in self._watched:
                    missed.setdefault(before, "the columns of its key were others")
            elif action == "truncate":
                missed[table] = "it was truncated"
            elif key is None:
                missed[table] = "a column of its key was renamed or dropped"
            else:
                changes.append(RowChange(table, Action(action), tuple(key)))
        self._unconfirmed += [row[0] for row in rows]
        return Batch(json.dumps(self._shapes), changes, missed)

    def _reshaped(self) -> dict[str, str]:
        """Return the tables that are others than they were, looked at now and then.

        One whose changes are not noted has no shape: so it is another one when they are again.
        """
        if time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            return {}
        tables = [
            table
            for table in noted_tables(self._session, self._name, self._watched)
            if table.can_be_noted
        ]
        now = {table.table: self._shape(table) for table in tables}
        before = self._shapes
        self._shapes, self._looked_at = now, time.monotonic()
        if before is None:
            return dict.fromkeys(now, "reading begins")
        return {
            table: _ANOTHER if shape else _NOT_NOTED
            for table, shape in now.items()
            if before.get(table) != shape
        }

    def _shape(self, table: NotedTable) -> str:
        left = table.function_left(self._name) or table.triggers_left(self._name, of_rows=True)
        return "" if left else table.shape()
