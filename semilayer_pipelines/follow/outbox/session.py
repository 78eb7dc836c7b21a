"""A connection to a PostgreSQL source that may write: the outbox's rows are deleted by us.

Each call is one short transaction, so a pooler between us and the server does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.bridges.failures import postgres_failure
from semilayer_pipelines.config.database_url import database_url
from semilayer_pipelines.config.url_parameters import postgres_arguments, read_parameters
from semilayer_pipelines.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

__all__ = ["Session"]


class Session:
    """One connection, opened when it is first used and again after it broke.

    Every verb may raise `SourceUnreachable` and `SourceRefused`, a URL of another database
    `ConfigError`. `source` is its name in messages.
    """

    def __init__(self, url: str, *, source: str, timeout_ms: int) -> None:
        where = f"source {source!r}"
        parsed = database_url(url, where=where)
        if parsed.kind != "postgresql":
            raise ConfigError(
                f"{where}: `cdc: outbox` is for PostgreSQL, and its connection is of "
                f"{parsed.kind}.",
                cure="Take `binlog` for MySQL and MariaDB, whose triggers miss what a foreign key "
                "and a TRUNCATE change; SQLite has nothing to follow.",
            )
        asked = read_parameters(parsed, where=where)
        self.source = source
        self._timeout_ms = timeout_ms
        self._arguments: dict[str, Any] = {**postgres_arguments(parsed, asked)}
        self._begin = f"SET LOCAL statement_timeout = {timeout_ms}"
        if asked.search_path:
            path = ", ".join('"' + one.replace('"', '""') + '"' for one in asked.search_path)
            self._begin += f"; SET LOCAL search_path = {path}"
        self._connection: psycopg.Connection | None = None

    def rows(self, statement: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        with self._transaction() as connection:
            return connection.execute(statement.encode(), params).fetchall()

    def run(self, statement: str, params: Sequence[object] | None = None) -> None:
        """Run a statement, or several in one transaction when there are no parameters."""
        with self._transaction() as connection:
            connection.execute(statement.encode(), params)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        import psycopg

        try:
            connection = self._opened()
            with connection.transaction():
                connection.execute(self._begin.encode())
                yield connection
        except psycopg.Error as error:
            self.close()
            raise postgres_failure(error, self.source, self._timeout_ms) from None

    def _opened(self) -> psycopg.Connection:
        import psycopg

        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                **self._arguments,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=10,
                client_encoding="utf8",
            )
        return self._connection
