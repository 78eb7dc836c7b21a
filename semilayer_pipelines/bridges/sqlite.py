"""SQLite through ADBC: pages as Arrow tables, without a Python object a value.

Every statement goes through this one driver and never through Python's own sqlite3: two SQLite
libraries on one file in one process would drop each other's locks. The file is opened read-only and
is never created; each statement is its own transaction.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote as quote_path

import polars as pl
import pyarrow as pa
from adbc_driver_manager import Error
from adbc_driver_sqlite import StatementOptions

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.database import (
    Described,
    Fetched,
    Query,
    SourceColumn,
    Split,
    Sql,
    split_name,
)
from semilayer_pipelines.bridges.failures import sqlite_failure
from semilayer_pipelines.bridges.protocol import PAGE_BYTES, HiddenRows, Table, Written
from semilayer_pipelines.bridges.sqlite_ids import candidates
from semilayer_pipelines.bridges.sqlite_page import SqlitePage
from semilayer_pipelines.bridges.sqlite_times import (
    at_or_after,
    later_day,
    with_blank,
    with_blank_sql,
)
from semilayer_pipelines.bridges.sqlite_types import as_text, source_column, split
from semilayer_pipelines.bridges.unique_keys import never_null, unique_keys
from semilayer_pipelines.bridges.unwritten import unwritten
from semilayer_pipelines.bridges.written_sqlite import file_mark
from semilayer_pipelines.errors import SchemaMismatch, SourceRefused, nearest
from semilayer_pipelines.quick_imports import later

# For its bulk inserts, and this only reads.
with later("pyarrow.dataset"):
    from adbc_driver_sqlite import dbapi

__all__ = ["SqliteDatabase"]

_COLUMNS = 'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?{}) WHERE hidden <> 1'
_NAMES = (
    "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'"
)
_UNIQUE = """
SELECT l.name, i.name FROM pragma_index_list(?{0}) l JOIN pragma_index_info(l.name{1}) i
WHERE l."unique" AND NOT l.partial ORDER BY l.seq, i.seqno
"""
_KEY_INDEX = "SELECT 1 FROM pragma_index_list(?{}) WHERE origin = 'pk'"
_HAS_ROWID = "SELECT 1 FROM pragma_table_list(?) WHERE type IN ('table', 'virtual') AND NOT wr"
_IS_TABLE = "SELECT 1 FROM pragma_table_list(?) WHERE type = 'table'"
_ROWID = "rowid"
_SCHEMAS = "SELECT name FROM pragma_database_list"
_SNIFFED_ROWS = 65_536
_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^]]*\]|--[^\n]*|/\*.*?(?:\*/|$)|"((?:[^"]|"")*)\"""",
    re.DOTALL,
)
"""Texts, names and comments; the group is what stands in double quotes."""


class SqliteDatabase:
    """A `Database` over one SQLite file; a lock makes it safe to use from several threads."""

    mark = "?"
    row_values = True
    types_values = True

    def __init__(self, path: str, *, name: str, timeout_ms: int) -> None:
        self._path = path
        self._name = name
        self._timeout_ms = timeout_ms
        self._lock = threading.Lock()
        self._connection: Any = None
        self._cursor: Any = None
        self._files: tuple[int, ...] = ()

    def names(self) -> list[str]:
        """Return the names of all tables and views."""
        return [str(row[0]) for row in self._rows(Sql(_NAMES))]

    def describe(self, name: str) -> Described:
        """Find a table or view and its columns."""
        for schema, table in split_name(name):
            statement = _COLUMNS.format("" if schema is None else ", ?")
            if schema is not None and (schema,) not in self._rows(Sql(_SCHEMAS)):
                continue
            rows = self._rows(Sql(statement, (table,) if schema is None else (table, schema)))
            if rows:
                number = self._number(schema, table, rows)
                columns = _columns(rows, number)
                key = sorted((row[3], row[0]) for row in rows if row[3])
                unique = () if key else never_null(self._unique(schema, table), columns)
                own = None if number else self._rowid(schema, table, rows)
                described = Table(
                    name,
                    tuple(c.column for c in columns),
                    tuple(k for _, k in key),
                    unique,
                    own.column if own else None,
                )
                quoted = ".".join(_quoted(part) for part in (schema, table) if part)
                readable = (*columns, own) if own else columns
                return Described(described, quoted, {c.column.name: c for c in readable})
        names = self.names()
        raise SchemaMismatch(
            f"source {self._name!r} has no table or view {name!r}{nearest(name, names)}.",
            cure=f"There are: {', '.join(sorted(names)[:50]) or 'none'}.",
        )

    def unique_keys(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return the unique keys of a table, also those with NULL; not an INTEGER PRIMARY KEY."""
        found = (self._unique(schema, table) for schema, table in split_name(name))
        return next((keys for keys in found if keys), ())

    def _unique(self, schema: str | None, table: str) -> tuple[tuple[str, ...], ...]:
        if schema is not None and (schema,) not in self._rows(Sql(_SCHEMAS)):
            return ()
        where, asked = ("", (table,)) if schema is None else (", ?", (table, schema, schema))
        return unique_keys(self._rows(Sql(_UNIQUE.format(where, where), asked)))

    def _number(
        self, schema: str | None, table: str, columns: Sequence[tuple[Any, ...]]
    ) -> str | None:
        """Return the column that is the row's own number: an INTEGER PRIMARY KEY without an index.

        With one, as in a table WITHOUT ROWID or for `INTEGER PRIMARY KEY DESC`, it is a column like
        any other.
        """
        match [(name, declared) for name, declared, _, pk in columns if pk]:
            case [(name, declared)] if declared.upper() == "INTEGER":
                where, asked = ("", (table,)) if schema is None else (", ?", (table, schema))
                indexed = self._rows(Sql(_KEY_INDEX.format(where), asked))
                return None if indexed else str(name)
            case _:
                return None

    def _rowid(
        self, schema: str | None, table: str, columns: Sequence[tuple[Any, ...]]
    ) -> SourceColumn | None:
        """Return the row's own number; `None` where there is none or a column has its name."""
        if any(name.lower() == _ROWID for name, *_ in columns):
            return None
        where, asked = ("", (table,)) if schema is None else (" AND schema = ?", (table, schema))
        if not self._rows(Sql(_HAS_ROWID + where, asked)):
            return None
        return _numbering(source_column(_ROWID, _quoted(_ROWID), "INTEGER", nullable=False))

    def hides_rows(self, name: str) -> HiddenRows | None:
        """Return `None`: who may read a file may read all of it."""
        return None

    def read(self, query: Query) -> Fetched:
        """Read a page; a second time when values did not fit, with these told apart by the file."""
        columns = {c.column.name: c for c in query.columns}
        for name in query.key:
            if columns[name].column.kind not in ("integer", "text"):
                columns[name] = _textual(columns[name])
        # The driver gives one type to texts among blobs.
        apart = {name for name, c in columns.items() if isinstance(c.dtype, pl.Binary)}
        fits = self._rows_that_fit(query)
        while True:
            read = [columns[c.column.name] for c in query.columns]
            page = self._table(query, read, apart, fits)
            unfit = page.unfit()
            if not unfit:
                return page.fetched(query, self._name, cut=fits is not None)
            # Read as a whole again: rows may have changed since. Ends, as each time fewer are left.
            for name in unfit:
                if isinstance(columns[name].dtype, pl.String):
                    columns[name] = _textual(columns[name])
                else:
                    apart.add(name)

    def _rows_that_fit(self, query: Query) -> int | None:
        """Return how many of the rows weigh `PAGE_BYTES`, `None` when they do not.

        SQLite knows the length of a value without reading it; the driver reads whole pages.
        """
        heavy = [query.columns[i].quoted for i in query.heavy()]
        if not heavy:
            return None
        weight = _sum([f"COALESCE(octet_length({name}), 0)" for name in heavy])
        weights = self._run(Sql(f"SELECT {weight}") + query.tail).column(0).to_numpy()
        total = weights.cumsum()
        if not total.size or total[-1] <= PAGE_BYTES:
            return None
        return max(1, int(total.searchsorted(PAGE_BYTES, side="right")))

    def _table(
        self, query: Query, read: Sequence[SourceColumn], apart: set[str], fits: int | None
    ) -> SqlitePage:
        expressions: list[str] = []
        for column in read:
            expressions += split(column) if column.column.name in apart else [column.expression]
        # The value itself keeps its type only if it was selected as it is.
        bare = {c.column.name for c in read if c.expression == c.quoted} - apart
        retyped = [c for c in query.cursor if c.column.name not in bare]
        select = Sql("SELECT " + ", ".join(expressions))
        for one in query.computed:
            select += Sql(", ") + one.expression
        for column in retyped:
            select += Sql(f", typeof({column.quoted}), {as_text(column.quoted)}")
        select += query.tail
        if fits is not None:
            select = Sql("SELECT * FROM (") + select + Sql(f") LIMIT {fits}")
        return SqlitePage(self._run(select), read, apart, retyped)

    def scalars(self, statement: Sql) -> tuple[Scalar, ...] | None:
        """Return the first row of a statement."""
        rows = self._rows(statement)
        return rows[0] if rows else None

    def candidates(self, column: SourceColumn, text: str) -> tuple[Scalar, ...]:
        """Return the values a key part may have, first the one that the column would store."""
        return candidates(column, text)

    def condition(self, text: str) -> Sql:
        """Return a condition in which double quotes only ever name a column."""
        return Sql(_QUOTED.sub(_as_name, text))

    def as_text(self, column: SourceColumn) -> SourceColumn:
        """Return the column as it is: any column may hold any type."""
        return column

    def literal(self, column: SourceColumn) -> str:
        """Return the placeholder for a value."""
        return self.mark

    def since(self, column: SourceColumn, value: Scalar) -> Sql:
        """Return the condition that a tracked column is at or after `value`."""
        return at_or_after(column, value)

    def latest(self, expressions: Sequence[str]) -> str:
        """Return the largest of several values, of times in one notation."""
        alike = [with_blank_sql(one) for one in expressions]
        return f"max({', '.join(alike)})" if len(alike) > 1 else alike[0]

    def as_latest(self, value: Scalar) -> Scalar:
        """Return a time with a blank between date and time."""
        return with_blank(value)

    def in_the_future(self, column: SourceColumn, moment: datetime) -> Split | None:
        """Return what tells times of a later day: SQLite has no types, so it is any column."""
        return later_day(column, moment)

    def written(self, name: str) -> Written | None:
        """Return how far the file has been written to; `None` for a view or a virtual table."""
        found = self.describe(name)
        for schema, table in split_name(name):
            where, asked = (
                ("", (table,)) if schema is None else (" AND schema = ?", (table, schema))
            )
            if self._rows(Sql(_IS_TABLE + where, asked)):
                version = self._rows(Sql("SELECT sqlite_version()"))
                parts = (os.path.realpath(self._path), found, version)
                place = hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
                return Written(place, file_mark(self._path), None)
        return None

    def unwritten(self, name: str, kept: Written, *, patient: bool = True) -> Written | None:
        """Return how far it is written to now, if it was not written to since `kept`."""
        return unwritten(lambda: self.written(name), lambda: None, kept, patient=patient)

    def written_after(self, table: Described, since: str) -> Sql:
        """Raise: SQLite keeps no row's time."""
        raise ValueError(f"{self._name!r} tells of no moment after which rows were written")

    def key_hash(self, key: Sequence[SourceColumn]) -> Sql | None:
        """Return `None`: SQLite has no hash of its own."""
        return None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._disconnect()

    def _rows(self, statement: Sql) -> list[tuple[Any, ...]]:
        columns = [column.to_pylist() for column in self._run(statement).columns]
        return list(zip(*columns, strict=True))

    def _run(self, statement: Sql) -> pa.Table:
        with self._lock:
            try:
                self._connect()
                self._cursor.execute(statement.text, statement.params or None)
                table: pa.Table = self._cursor.fetch_arrow_table()
            except Error as error:
                self._disconnect()
                raise sqlite_failure(error, self._name, self._path) from None
            self._files = self._identity()
            return table

    def _connect(self) -> None:
        # Another file under the same name (a published copy), or a write-ahead log that someone in
        # this very process took away: what is open would be read for ever and never change.
        if self._connection is not None and self._files == self._identity():
            return
        self._disconnect()
        if not os.path.isfile(self._path):
            raise SourceRefused(
                f"source {self._name!r}: there is no SQLite file {self._path!r}.",
                cure="Check the path: sqlite:///x.db begins in the project's folder, and "
                "sqlite:////x.db is absolute.",
            )
        if not os.access(self._path, os.R_OK, effective_ids=True):
            raise SourceRefused(
                f"source {self._name!r}: this user may not read the SQLite file {self._path!r}.",
                cure="Let it read the file, and enter and read its folder.",
            )
        uri = f"file:{quote_path(os.path.abspath(self._path))}?mode=ro"
        self._connection = dbapi.connect(uri, autocommit=True)
        # Types are inferred from this many rows; a whole page, lest a late row be an error.
        options = {StatementOptions.BATCH_ROWS.value: str(_SNIFFED_ROWS)}
        self._cursor = self._connection.cursor(adbc_stmt_kwargs=options)
        self._cursor.execute("PRAGMA query_only = ON")
        self._cursor.execute(f"PRAGMA busy_timeout = {self._timeout_ms}")

    def _disconnect(self) -> None:
        for part in (self._cursor, self._connection):
            if part is not None:
                part.close()
        self._cursor = self._connection = None

    def _identity(self) -> tuple[int, ...]:
        found = []
        for path in (self._path, f"{self._path}-shm"):
            try:
                found.append(os.stat(path).st_ino)
            except FileNotFoundError:
                found.append(0)
        return tuple(found)


def _quoted(name: str) -> str:
    # Not with double quotes: a column that went away would be read as a text of that name.
    return "`" + name.replace("`", "``") + "`"


def _sum(terms: Sequence[str]) -> str:
    """Return the sum of terms, in parts: SQLite takes no expression of 1,000 one in the other."""
    parts = (terms[start : start + 50] for start in range(0, len(terms), 50))
    return " + ".join(f"({' + '.join(part)})" for part in parts)


def _as_name(found: re.Match[str]) -> str:
    return found[0] if found[1] is None else _quoted(found[1].replace('""', '"'))


def _columns(rows: Sequence[tuple[Any, ...]], number: str | None) -> list[SourceColumn]:
    return [
        # SQLite lets other keys be NULL.
        source_column(name, _quoted(name), declared, nullable=not notnull)
        if name != number
        else _numbering(source_column(name, _quoted(name), declared, nullable=False))
        for name, declared, notnull, _ in rows
    ]


def _numbering(column: SourceColumn) -> SourceColumn:
    return replace(column, exact=True)


def _textual(column: SourceColumn) -> SourceColumn:
    return replace(column, expression=as_text(column.quoted), dtype=pl.String())
