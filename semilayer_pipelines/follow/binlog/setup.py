"""Checks whether the log of a MySQL or MariaDB server can be followed; there is nothing to make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semilayer_pipelines.errors import SourceRefused
from semilayer_pipelines.follow.binlog.server import Server, TableColumn, WatchedTable
from semilayer_pipelines.follow.binlog.values import KEY_CHARSETS, KEY_TYPES
from semilayer_pipelines.follow.feed import Finding, Watched

__all__ = ["BinlogSetup", "refusals"]

_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum"})
_ON = ("ON", "1")


class BinlogSetup:
    """A `Setup` that makes nothing: a log is the server's own."""

    def __init__(self, server: Server, watched: Watched) -> None:
        self._server = server
        self._watched = watched

    def findings(self) -> tuple[Finding, ...]:
        """Look at settings, rights and tables."""
        return (*_of_server(self._server), *_of_tables(self._server, self._watched))

    def to_install(self) -> tuple[str, ...]:
        """Return nothing: what is missing is set in the server's configuration."""
        return ()

    def to_uninstall(self) -> tuple[str, ...]:
        """Return nothing."""
        return ()

    def run(self, statements: Sequence[str]) -> None:
        """Refuse: there are no statements to run."""
        if statements:
            raise SourceRefused("A binary log needs no statements.", cure="Run none.")

    def close(self) -> None:
        """Give the connection back."""
        self._server.close()


def refusals(server: Server, watched: Watched) -> tuple[Finding, ...]:
    """Return what keeps a log from being followed."""
    return tuple(finding for finding in BinlogSetup(server, watched).findings() if finding.stops)


def _of_server(server: Server) -> Iterator[Finding]:
    settings = server.settings()
    if settings.get("log_bin") not in _ON:
        yield _stop("It writes no binary log.", "Set log_bin and start the server again.")
        return
    if not server.may_read_the_log():
        yield _stop(
            "This user may not read the log.",
            "GRANT REPLICATION SLAVE ON *.* TO this user.",
        )
    if settings.get("binlog_format") != "ROW":
        yield _stop(
            f"binlog_format is {settings.get('binlog_format')}, which tells no rows.",
            _set("binlog_format", "ROW"),
        )
    if settings.get("binlog_row_metadata") != "FULL":
        yield _stop(
            f"binlog_row_metadata is {settings.get('binlog_row_metadata', 'not known')}: "
            "the log names no columns, and unsigned keys would be read as negative ones.",
            _set("binlog_row_metadata", "FULL"),
        )
    for name in ("log_bin_compress", "binlog_transaction_compression"):
        if settings.get(name) in _ON:
            yield _stop(f"{name} is ON, which cannot be read.", _set(name, "OFF"))
    if not server.is_mariadb and settings.get("gtid_mode") != "ON":
        yield _stop(
            f"gtid_mode is {settings.get('gtid_mode')}. Without GTIDs nobody can tell "
            "when a change of the log can be seen.",
            "Set gtid_mode = ON and enforce_gtid_consistency = ON.",
        )
    if settings.get("gtid_slave_pos") and settings.get("log_slave_updates") not in _ON:
        yield _stop(
            "It is a replica whose own log leaves out what it gets from its primary.",
            "Set log_slave_updates = ON, or name the primary in the source's connection.",
        )


def _of_tables(server: Server, watched: Watched) -> Iterator[Finding]:
    row_image = server.settings().get("binlog_row_image", "FULL")
    known = server.tables(watched)
    for name, columns in watched.items():
        where = repr(name)
        table = known.get(name)
        if table is None:
            yield _stop(f"{where} is not there.", "Correct the lens's 'table'.")
        elif table.is_view:
            yield Finding(
                f"{where} is a view: nothing tells of its changes.",
                "Keep its lenses in sync with 'syncInterval' and 'smartSyncInterval'.",
                stops=False,
            )
        else:
            yield from _of_table(where, table, columns, row_image)
            yield from _of_types(where, table, server)


def _of_table(
    where: str, table: WatchedTable, columns: Sequence[str], row_image: str
) -> Iterator[Finding]:
    for column in columns:
        found = table.columns.get(column)
        if found is None:
            yield _stop(f"{where} has no column {column!r}.", "Correct the lens's 'primaryKey'.")
        elif found.data_type not in KEY_TYPES or _is_padded(found):
            yield _stop(
                f"{where}: the key column {column!r} is {found.declared}, which the log does not "
                "tell as the index writes it.",
                "Take syncs without `cdc` for this source, or another key.",
            )
        elif found.data_type in _TEXTS and found.charset not in KEY_CHARSETS:
            yield _stop(
                f"{where}: the key column {column!r} is in the character set {found.charset}, "
                "which cannot be read from the log.",
                "Convert the column to utf8mb4.",
            )
        elif row_image == "MINIMAL" and _has_key(table) and not found.in_primary_key:
            yield _stop(
                f"{where}: with binlog_row_image = MINIMAL the log tells the primary key alone, "
                f"and {column!r} is none of it.",
                _set("binlog_row_image", "FULL"),
            )
    if table.cascades:
        yield Finding(
            f"{where}: a foreign key changes its rows (CASCADE or SET NULL), which no log tells.",
            "Keep 'smartSyncInterval' short: it finds such changes.",
            stops=False,
        )


def _of_types(where: str, table: WatchedTable, server: Server) -> Iterator[Finding]:
    for column in table.columns.values():
        declared = column.declared.lower()
        if "compressed" in declared or (column.data_type == "vector" and not server.is_mariadb):
            yield Finding(
                f"{where}: of a table with a column like {column.name!r} ({column.declared}) no "
                "rows can be read from the log, so each change queues a smart sync.",
                "Keep that column in a table of its own if the table is large.",
                stops=False,
            )


def _is_padded(column: TableColumn) -> bool:
    return column.data_type == "decimal" and "zerofill" in column.declared.lower()


def _has_key(table: WatchedTable) -> bool:
    return any(column.in_primary_key for column in table.columns.values())


def _set(name: str, value: str) -> str:
    return f"SET GLOBAL {name} = '{value}', and the same in the server's configuration."


def _stop(told: str, cure: str) -> Finding:
    return Finding(told, cure, stops=True)
