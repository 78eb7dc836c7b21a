"""A MySQL or MariaDB server as a reader of its log sees it: settings, tables, how far it is.

MariaDB and MySQL number their transactions in ways of their own (GTIDs), and each has its own way
to say that a transaction of the log can be seen by others. The log is told first: a reader that
looks a row up at once may find the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from semilayer_pipelines.bridges.backends import mysql_arguments
from semilayer_pipelines.bridges.database import split_name
from semilayer_pipelines.bridges.failures import mariadb_failure
from semilayer_pipelines.config.database_url import database_url
from semilayer_pipelines.config.url_parameters import read_parameters
from semilayer_pipelines.errors import ConfigError

__all__ = ["LogPlace", "Server", "TableColumn", "WatchedTable", "driver"]

_SETTINGS = (
    *("log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata", "log_bin_compress"),
    *("binlog_transaction_compression", "gtid_mode", "log_slave_updates", "gtid_slave_pos"),
)
_TABLE = """
SELECT table_schema, table_name, table_type FROM information_schema.tables
WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s
"""
_COLUMNS = """
SELECT column_name, LOWER(data_type), COALESCE(character_set_name, ''), column_key = 'PRI',
       column_type
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s
"""
_CASCADES = """
SELECT COUNT(*) FROM information_schema.referential_constraints
WHERE constraint_schema = %s AND table_name = %s
  AND (delete_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT')
       OR update_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))
"""

LogPlace = tuple[int, str, int]
"""A place in the log that can be compared: the length of the file's name, the name, the offset."""


@dataclass(frozen=True)
class TableColumn:
    """A column: its type as the server names it, its character set, whether it is in the key."""

    name: str
    data_type: str
    charset: str
    in_primary_key: bool
    declared: str


@dataclass(frozen=True)
class WatchedTable:
    """A table that a lens names.

    `cascades`: a foreign key may change its rows, and the log does not tell.
    """

    schema: str
    name: str
    is_view: bool
    columns: dict[str, TableColumn]
    cascades: bool


def driver() -> Any:
    """Return PyMySQL, which has no types; not needed to read a configuration."""
    import pymysql

    return pymysql


class Server:
    """A connection for questions. Raises `SourceUnreachable`, `SourceRefused`, `ConfigError`."""

    def __init__(self, url: str, *, source: str, timeout_ms: int) -> None:
        where = f"source {source!r}"
        parsed = database_url(url, where=where)
        if parsed.kind != "mysql":
            raise ConfigError(
                f"{where}: `cdc: binlog` is for MySQL and MariaDB, and its connection is of "
                f"{parsed.kind}.",
                cure="Take `logical` or `outbox` for PostgreSQL; SQLite has no log to follow.",
            )
        self.source = source
        asked = read_parameters(parsed, where=where)
        self.arguments = mysql_arguments(parsed, asked, where) | {"charset": "utf8mb4"}
        self._timeout_ms = timeout_ms
        self._connection: Any = None

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Tell what goes wrong in a block in our own words."""
        try:
            yield
        except (driver().Error, RuntimeError) as error:
            self.close()
            raise mariadb_failure(error, self.source, self._timeout_ms) from None

    def rows(self, statement: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; return its rows."""
        with self.failures(), self._connected().cursor() as cursor:
            cursor.execute(statement, tuple(params))
            return list(cursor.fetchall())

    @property
    def is_mariadb(self) -> bool:
        """Say whether it is MariaDB."""
        with self.failures():
            return "mariadb" in self._connected().get_server_info().lower()

    def settings(self) -> dict[str, str]:
        """Return the settings that matter for its log, those that this server has."""
        names = ", ".join(f"'{name}'" for name in _SETTINGS)
        found = self.rows(f"SHOW GLOBAL VARIABLES WHERE variable_name IN ({names})")
        return {str(name).lower(): str(value) for name, value in found}

    def may_read_the_log(self) -> bool:
        """Say whether this user has the right; where that cannot be told, that it has."""
        granted = " ".join(str(row[0]) for row in self.rows("SHOW GRANTS")).upper()
        rights = ("REPLICATION SLAVE", "REPLICATION REPLICA", "ALL PRIVILEGES ON *.*", "SUPER")
        return any(right in granted for right in rights) or "GRANT `" in granted

    def table(self, name: str) -> WatchedTable | None:
        """Return a table by the name that a lens writes, `None` when there is none."""
        for schema, table in split_name(name):
            for at, called, kind in self.rows(_TABLE, (schema, table)):
                columns = [
                    TableColumn(str(column), str(data_type), str(charset), bool(key), str(declared))
                    for column, data_type, charset, key, declared in self.rows(
                        _COLUMNS, (at, called)
                    )
                ]
                cascades = bool(self.rows(_CASCADES, (at, called))[0][0])
                is_view = "VIEW" in str(kind).upper()
                named = {column.name: column for column in columns}
                return WatchedTable(str(at), str(called), is_view, named, cascades)
        return None

    def tables(self, names: Iterable[str]) -> dict[str, WatchedTable]:
        """Return those of these tables that are there, by the names that lenses write."""
        found = {name: self.table(name) for name in names}
        return {name: table for name, table in found.items() if table is not None}

    def position(self) -> str:
        """Return the transactions that are in its log now, as GTIDs."""
        asked = "@@global.gtid_binlog_pos" if self.is_mariadb else "@@global.gtid_executed"
        return str(self.rows(f"SELECT {asked}")[0][0]).replace("\n", "")

    def seen(self) -> LogPlace:
        """Return up to which place of MariaDB's log transactions can be seen by others."""
        with self.failures(), self._connected().cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
            found = {str(name).lower(): value for name, value in cursor.fetchall()}
            cursor.execute("COMMIT")
        file = str(found.get("binlog_snapshot_file", ""))
        return len(file), file, int(found.get("binlog_snapshot_position", 0))

    def is_visible(self, gtid: str, place: LogPlace) -> bool:
        """Say whether a transaction of the log, which ends at or behind `place`, can be seen."""
        if self.is_mariadb:
            return self.seen() >= place
        [(left,)] = self.rows("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, 1)", (gtid,))
        return int(left) == 0

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            if connection.open:
                connection.close()

    def _connected(self) -> Any:
        if self._connection is None or not self._connection.open:
            seconds = self._timeout_ms / 1000 + 10
            timeouts = {"read_timeout": seconds, "write_timeout": seconds}
            self._connection = driver().connect(
                **{"connect_timeout": 10, **self.arguments, **timeouts}, autocommit=True
            )
        return self._connection
