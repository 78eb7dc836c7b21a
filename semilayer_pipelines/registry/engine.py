"""SQLAlchemy engines for the registry: one kind for SQLite, one for PostgreSQL.

It must never show a password, and never let two processes share one connection.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool, Pool

from semilayer_pipelines.config.database_url import DatabaseUrl, database_url
from semilayer_pipelines.config.url_parameters import postgres_arguments, read_parameters
from semilayer_pipelines.errors import ConfigError, RegistryUnavailable
from semilayer_pipelines.private_files import private_file
from semilayer_pipelines.registry.liveness import check_at_checkout

__all__ = ["DURABLE", "WRITES", "copy_log", "leave_log", "make_engine"]

WRITES = "semilayer_writes"
"""Execution option of connections whose transactions write."""

DURABLE = "semilayer_durable"
"""Execution option of connections whose commits must survive a loss of power too."""

SQLITE_WAIT_SECONDS = 30.0
"""How long a writer waits for another one; `?timeout=` in the URL says otherwise."""

_LOG_PAGES = 1_000
"""SQLite's own length of the write-ahead log at which a commit copies it."""

CONNECT_SECONDS = 10
"""A PostgreSQL registry that takes longer to connect does not answer."""

VANISHED_SECONDS = 20
"""A PostgreSQL registry whose host says nothing for so long is gone, and a connection with it."""

_NOTICED = {
    # Without them, whoever waits for a host that lost its power waits a quarter of an hour.
    "tcp_user_timeout": str(1_000 * VANISHED_SECONDS),
    "keepalives_idle": str(VANISHED_SECONDS // 2),
    "keepalives_interval": str(VANISHED_SECONDS // 4),
    "keepalives_count": "2",
}
_READ_ONLY = "25006"

POOL_SIZE = 5
"""Connections that a process keeps open to a PostgreSQL registry; twice as many under load."""


_SETTING = "SEMILAYER_REGISTRY_URL"
_FORMS = "Use sqlite:///path/to/registry.db or postgresql://user:password@host/database."


def make_engine(url: str, *, pooled: bool = True) -> Engine:
    """Return an engine for `sqlite:///file` or `postgresql://…`; nothing is connected yet.

    The folder of a SQLite file is made when it is missing. Without `pooled` every connection to
    PostgreSQL is a new one, closed when it is given back. Raises `ConfigError` for any other URL
    and `RegistryUnavailable` when that folder cannot be made.
    """
    try:
        parsed = database_url(url, where=_SETTING)
        sqlite = make_url(url) if parsed.kind == "sqlite" else None
    except (ConfigError, ArgumentError):
        # Not quoted: what is no URL may be a password.
        raise ConfigError(
            f"The registry's setting, {_SETTING}, is not a database URL.", cure=_FORMS
        ) from None
    match parsed.kind:
        case "sqlite":
            assert sqlite is not None
            engine = _sqlite(sqlite)
        case "postgresql":
            engine = _postgres(parsed, pooled)
        case other:
            raise ConfigError(f"The registry cannot live in {other!r}.", cure=_FORMS)
    _engines.add(engine)
    return engine


_log_pages: weakref.WeakKeyDictionary[Engine, list[int]] = weakref.WeakKeyDictionary()


def leave_log(engine: Engine, pages: int) -> None:
    """Have commits of a SQLite engine leave the write-ahead log until it has so many pages.

    The most that anybody asks for holds. May be called while others connect, who would fail of a
    listener that is added meanwhile.
    """
    _log_pages[engine].append(pages)
    engine.dispose()  # what is connected already would still copy


def copy_log(engine: Engine, pages: int) -> None:
    """Take back one `leave_log`."""
    _log_pages[engine].remove(pages)
    engine.dispose()


def _sqlite(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise ConfigError(
            "The registry cannot live in memory: several processes use it.", cure=_FORMS
        )
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RegistryUnavailable(
            f"The folder of the registry, {folder}, cannot be made: {error.strerror}.",
            cure="Make it, or let SEMILAYER_HOME or SEMILAYER_REGISTRY_URL name a place that this "
            "user may write to.",
        ) from None
    wait = {} if "timeout" in url.query else {"timeout": SQLITE_WAIT_SECONDS}
    engine = create_engine(url, connect_args=wait)
    event.listen(engine, "do_connect", lambda *_: _keep_private(Path(str(url.database))))
    pages = _log_pages[engine] = [_LOG_PAGES]
    event.listen(engine, "connect", lambda connection, _: _prepare_sqlite(connection, max(pages)))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _keep_private(file: Path) -> None:
    # What SQLite puts beside its file gets the same mode. A file that cannot be made is better told
    # by the driver.
    with suppress(OSError):
        private_file(file)


def _prepare_sqlite(connection: sqlite3.Connection, log_pages: int) -> None:
    # The driver would begin transactions by its own rules; `_begin_sqlite` does it by ours.
    connection.isolation_level = None
    _use_wal(connection)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}")


def _use_wal(connection: sqlite3.Connection) -> None:
    # The switch is refused at once, without the usual wait, while another process looks at a file
    # that is not in WAL mode yet; it happens when several open a new registry together.
    deadline = time.monotonic() + SQLITE_WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for the write lock (its snapshot
    # would be stale), so whoever means to write takes the lock at once.
    options = connection.get_execution_options()
    # With NORMAL, in WAL mode, a crash of the machine may lose the last commits, never the file's
    # consistency: enough for pages, which are done again. With FULL the disk has what was
    # committed.
    level = "FULL" if options.get(DURABLE, False) else "NORMAL"
    connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITES, False) else "BEGIN")


def _postgres(url: DatabaseUrl, pooled: bool) -> Engine:
    asked = read_parameters(url, where=_SETTING)
    arguments: dict[str, Any] = dict(postgres_arguments(url, asked))
    if asked.search_path:
        path = ",".join(f'"{one}"' for one in asked.search_path)
        path = path.replace("\\", "\\\\").replace(" ", "\\ ")
        arguments["options"] = f"{arguments.get('options', '')} -csearch_path={path}".strip()
    host, port = url.hosts[0] if len(url.hosts) == 1 else (None, None)
    # One of several may be a standby, and answers first.
    which = {"target_session_attrs": "read-write"} if len(url.hosts) > 1 else {}
    pool: dict[str, Any] = (
        {"pool_size": POOL_SIZE, "max_overflow": POOL_SIZE} if pooled else {"poolclass": NullPool}
    )
    engine = create_engine(
        # For messages, which name user, host and database; the driver is told all below.
        URL.create(
            "postgresql+psycopg", asked.user, asked.password, host, port, url.database or None
        ),
        **pool,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "semilayer",
            **_NOTICED,
            **which,
            **arguments,
            # Prepared statements do not survive a transaction pooler such as PgBouncer.
            "prepare_threshold": None,
        },
    )
    event.listen(engine, "handle_error", _leave_standby)
    if pooled:
        check_at_checkout(engine)
    return engine


def _leave_standby(context: ExceptionContext) -> None:
    # After a fail-over a connection may be one to a server that only reads. It would stay in the
    # pool, where all that is written would fail.
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_inherited: list[Pool] = []


def _forget_inherited_connections() -> None:
    # The child must neither use nor close what it inherited: closing would end the parent's
    # PostgreSQL session. The old pools are kept alive so that nothing closes them.
    for engine in list(_engines):
        _inherited.append(engine.pool)
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited_connections)
