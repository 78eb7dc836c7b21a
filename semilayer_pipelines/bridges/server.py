"""A database behind a network: PostgreSQL, MySQL or MariaDB, through SQLAlchemy's engine.

A `Dialect` has what the two kinds do differently, as values and small functions. Every
verb is one short read-only transaction on a pooled connection; a connection that broke is thrown
away and the next verb opens another. Nothing here ever writes or keeps a snapshot open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import polars as pl
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

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
from semilayer_pipelines.bridges.failures import ValueRefused
from semilayer_pipelines.bridges.ids import typed
from semilayer_pipelines.bridges.protocol import HiddenRows, Table, Written
from semilayer_pipelines.bridges.unwritten import unwritten
from semilayer_pipelines.errors import SchemaMismatch, SemilayerError, SourceRefused, nearest

__all__ = ["Dialect", "PageReader", "Run", "ServerDatabase", "Transaction"]

Run = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]
"""Runs a statement with its parameters and returns all rows."""

Transaction = Callable[[], AbstractContextManager[Connection]]
"""Lends a connection in a read-only transaction."""


class PageReader(Protocol):
    """The way in which the rows of a page come from a kind of server."""

    def read(self, transaction: Transaction, query: Query) -> Fetched:
        """Read a page in one transaction, or once more in another."""
        ...


@dataclass(frozen=True)
class Dialect:
    """The differences between kinds of servers.

    `begin` opens the transaction (empty: the driver does); `set_up` prepares a new connection;
    `bind` turns a cursor's value into the driver's; `literal` is the placeholder for a value that
    stands in one column with those of a table; `text` is the type that any value is cast to as a
    text; `nul_in_text` says that a text may hold U+0000;
    `describe` finds a table (schema or `None`, name) or returns `None`; `unique` lists the unique
    keys of one that is there; `names` lists what there is; `hidden` tells why rows of a table may
    be hidden; `pages` reads rows. `written` tells how far a table has been written to, `at_work`
    asks for the sessions that come late with what they wrote. `written_after` and `key_hash` are of
    a kind whose `Written.since` may be known.
    """

    engine: dict[str, Any]
    begin: str
    set_up: Callable[[Any], None]
    row_values: bool
    text: str
    nul_in_text: bool
    bind: Callable[[Scalar], object]
    describe: Callable[
        [Run, Callable[[str], str], str | None, str],
        tuple[str, tuple[SourceColumn, ...], tuple[str, ...], tuple[tuple[str, ...], ...]] | None,
    ]
    unique: Callable[[Run, str | None, str], tuple[tuple[str, ...], ...]]
    names: str
    hidden: Callable[[Run, str | None, str], HiddenRows | None]
    failure: Callable[[BaseException, str, int], SemilayerError]
    pages: PageReader
    written: Callable[[Run, str | None, str], Written | None]
    literal: Callable[[SourceColumn], str] = lambda column: "%s"
    at_work: str | None = None
    written_after: Callable[[Described, str], Sql] | None = None
    key_hash: Callable[[Sequence[SourceColumn]], Sql] | None = None


class ServerDatabase:
    """A `Database` over an SQLAlchemy engine; safe to use from several threads."""

    mark = "%s"
    types_values = False

    def __init__(self, url: URL, dialect: Dialect, *, name: str, timeout_ms: int) -> None:
        self._name = name
        self._timeout_ms = timeout_ms
        self._dialect = dialect
        self._engine = create_engine(
            url,
            pool_size=1,
            max_overflow=4,
            pool_recycle=600,
            hide_parameters=True,
            **dialect.engine,
        )
        self._quote = self._engine.dialect.identifier_preparer.quote_identifier
        event.listen(self._engine, "connect", lambda raw, _: dialect.set_up(raw))

    @property
    def row_values(self) -> bool:
        """Say whether a comparison of row values is an index range."""
        return self._dialect.row_values

    def names(self) -> list[str]:
        """Return the names of all tables and views."""
        with self._transaction() as run:
            return [str(row[0]) for row in run(self._dialect.names, ())]

    def describe(self, name: str) -> Described:
        """Find a table or view and its columns."""
        with self._transaction() as run:
            for schema, table in split_name(name):
                found = self._dialect.describe(run, self._quote, schema, table)
                if found is not None:
                    quoted, columns, key, unique = found
                    described = Table(name, tuple(c.column for c in columns), key, unique)
                    return Described(described, quoted, {c.column.name: c for c in columns})
            names = [row[0] for row in run(self._dialect.names, ())]
        if name in names:
            raise SchemaMismatch(
                f"source {self._name!r}: {name!r} cannot be read: it is a view over something that "
                "is gone.",
                cure="Mend the view, or drop it.",
            )
        there = ", ".join(sorted(names)[:50]) or "none"
        raise SchemaMismatch(
            f"source {self._name!r} has no table or view {name!r}{nearest(name, names)}.",
            cure=f"There are: {there}; a server may show a user only those that it may read.",
        )

    def unique_keys(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return the unique keys of a table, also those with NULL."""
        with self._transaction() as run:
            found = (self._dialect.unique(run, *parts) for parts in split_name(name))
            return next((keys for keys in found if keys), ())

    def hides_rows(self, name: str) -> HiddenRows | None:
        """Return why rows of a table may be hidden from this user, or `None`."""
        with self._transaction() as run:
            for schema, table in split_name(name):
                hidden = self._dialect.hidden(run, schema, table)
                if hidden is not None:
                    return hidden
        return None

    def written(self, name: str) -> Written | None:
        """Return how far a table has been written to; `None` where there is no telling."""
        try:
            with self._transaction() as run:
                found = (self._dialect.written(run, *parts) for parts in split_name(name))
                return next((told for told in found if told is not None), None)
        except SourceRefused:
            return None  # what tells it may be closed to this user

    def unwritten(self, name: str, kept: Written, *, patient: bool = True) -> Written | None:
        """Return how far it is written to now, if it was not written to since `kept`."""
        return unwritten(lambda: self.written(name), self._at_work, kept, patient=patient)

    def _at_work(self) -> dict[int, bool] | None:
        if self._dialect.at_work is None:
            return None
        try:
            with self._transaction() as run:
                return dict(run(self._dialect.at_work, ()))
        except SourceRefused:
            return None

    def written_after(self, table: Described, since: str) -> Sql:
        """Return the condition that a row was written after `since`."""
        if self._dialect.written_after is None:
            raise ValueError(f"{self._name!r} tells of no moment after which rows were written")
        return self._dialect.written_after(table, since)

    def key_hash(self, key: Sequence[SourceColumn]) -> Sql | None:
        """Return the expression for a hash of a key, if there is one."""
        return None if self._dialect.key_hash is None else self._dialect.key_hash(key)

    def read(self, query: Query) -> Fetched:
        """Read a page."""
        return self._dialect.pages.read(self._connected, query)

    def scalars(self, statement: Sql) -> tuple[Scalar, ...] | None:
        """Return the first row of a statement."""
        with self._transaction() as run:
            rows = run(statement.text, tuple(map(self._dialect.bind, statement.params)))
        return rows[0] if rows else None

    def candidates(self, column: SourceColumn, text: str) -> tuple[Scalar, ...]:
        """Return the value a key part with this text has."""
        return (typed(column, text, nul_in_text=self._dialect.nul_in_text),)

    def condition(self, text: str) -> Sql:
        """Return a condition with its percent signs doubled: the drivers take them for marks."""
        return Sql(text.replace("%", "%%"))

    def as_text(self, column: SourceColumn) -> SourceColumn:
        """Return the same column, read as the server's own text."""
        text = f"CAST({column.expression} AS {self._dialect.text})"
        return replace(column, expression=text, dtype=pl.String())

    def literal(self, column: SourceColumn) -> str:
        """Return the placeholder for a value that stands in one column with those of `column`."""
        return self._dialect.literal(column)

    def since(self, column: SourceColumn, value: Scalar) -> Sql:
        """Return the condition that a tracked column is at or after `value`."""
        return Sql(f"{column.order} >= %s", (value,))

    def latest(self, expressions: Sequence[str]) -> str:
        """Return the largest of several values."""
        return f"GREATEST({', '.join(expressions)})" if len(expressions) > 1 else expressions[0]

    def as_latest(self, value: Scalar) -> Scalar:
        """Return the value."""
        return value

    def in_the_future(self, column: SourceColumn, moment: datetime) -> Split | None:
        """Return what tells times later than `moment`, which is read in UTC, as sessions are."""
        if column.column.kind not in ("datetime", "date"):
            return None
        text = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
        return Split(Sql(f"{column.order} > %s", (text,)), Sql(f"{column.order} <= %s", (text,)))

    def close(self) -> None:
        """Give back every connection."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Run]:
        with self._connected() as connection:
            yield lambda text, params: _rows(connection, text, params)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Lend a connection in a transaction; what goes wrong in it is told in our own words."""
        try:
            with self._engine.connect() as connection:
                if self._dialect.begin:
                    connection.exec_driver_sql(self._dialect.begin)
                try:
                    yield connection
                except self._engine.dialect.loaded_dbapi.Error as error:
                    # Of a stream, which is the driver's own: SQLAlchemy has not seen it.
                    if not connection.invalidated:
                        driver = connection.connection.driver_connection
                        if self._engine.dialect.is_disconnect(error, driver, None):
                            connection.invalidate()
                    raise self._dialect.failure(error, self._name, self._timeout_ms) from None
        except DBAPIError as error:
            cause = error.orig or error
            raise self._dialect.failure(cause, self._name, self._timeout_ms) from None
        except UnicodeDecodeError as error:
            said = f"a text is not valid {error.encoding} (byte {error.object[error.start]:#04x})"
            raise ValueRefused(self._name, said) from None
        except (SQLAlchemyError, RuntimeError) as error:
            raise self._dialect.failure(error, self._name, self._timeout_ms) from None


def _rows(connection: Connection, text: str, params: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    # The driver's own cursor: SQLAlchemy's row objects would halve the speed.
    result = connection.exec_driver_sql(text, params)
    cursor = result.cursor
    if cursor is None:
        return []
    try:
        return list(cursor.fetchall())
    finally:
        result.close()
