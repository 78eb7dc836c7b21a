"""A connection to a PostgreSQL source for all that following asks, makes and drops.

Each call is one short transaction, so a pooler between us and the server does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from semilayer_pipelines.bridges.failures import postgres_failure
from semilayer_pipelines.bridges.postgres_names import search_path
from semilayer_pipelines.config.database_url import database_url
from semilayer_pipelines.config.url_parameters import postgres_arguments, read_parameters
from semilayer_pipelines.errors import ConfigError

if TYPE_CHECKING:
    import psycopg

__all__ = ["Session"]

_CONNECT_SECONDS = 10


class Session:
    """One connection, opened when it is first used and again after it broke.

    Every verb may raise `SourceUnreachable` and `SourceRefused`, a URL of another database
    `ConfigError`. `source` is its name in messages, `cdc` how it is followed. `arguments` are
    those of psycopg, for a connection of another kind to the same server.
    """

    def __init__(self, url: str, *, source: str, cdc: str, timeout_ms: int) -> None:
        where = f"source {source!r}"
        parsed = database_url(url, where=where)
        if parsed.kind != "postgresql":
            raise ConfigError(
                f"{where}: `cdc: {cdc}` is for PostgreSQL, and its connection is of {parsed.kind}.",
                cure="Take `binlog` for MySQL and MariaDB; SQLite has nothing to follow.",
            )
        asked = read_parameters(parsed, where=where)
        self.source = source
        self.arguments: dict[str, Any] = {
            **postgres_arguments(parsed, asked),
            "client_encoding": "utf8",
            "connect_timeout": _CONNECT_SECONDS,
        }
        self._timeout_ms = timeout_ms
        settings = f"SET LOCAL statement_timeout = {timeout_ms}", search_path(asked.search_path)
        self._begin = "; ".join(filter(None, settings))
        self._connection: psycopg.Connection | None = None

    def rows(self, statement: str, params: Sequence[object] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement, or several where there are no parameters; return the rows of the last.

        There are none when it returns no rows.
        """
        with self._transaction() as connection:
            cursor = connection.execute(statement.encode(), params)
            return cursor.fetchall() if cursor.description else []

    @property
    def version(self) -> int:
        """The server's version, as 150004."""
        with self.failures():
            return self._opened().info.server_version

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Tell what goes wrong in a block in our own words."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            raise postgres_failure(error, self.source, self._timeout_ms) from None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        with self.failures():
            connection = self._opened()
            with connection.transaction():
                connection.execute(self._begin.encode())
                yield connection

    def _opened(self) -> psycopg.Connection:
        import psycopg

        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                **self.arguments, autocommit=True, prepare_threshold=None
            )
        return self._connection
