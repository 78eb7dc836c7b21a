"""From a connection URL to the database behind it.

Drivers are imported here and late, so that a process that never reads a source never loads them.
No message holds any part of a URL: what cannot be parsed may be a password.
"""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from semilayer_pipelines.bridges.database import Database
from semilayer_pipelines.errors import ConfigError

__all__ = ["open_database"]


def open_database(url: str, *, timeout_ms: int, name: str) -> Database:
    """Return the database of a URL, not connected yet; raises `ConfigError`."""
    parsed = _parsed(url, name)
    match parsed.get_backend_name():
        case "sqlite":
            from semilayer_pipelines.bridges.sqlite import SqliteDatabase

            if not parsed.database or parsed.database == ":memory:":
                raise ConfigError(
                    f"source {name!r}: the connection names no SQLite file.",
                    cure="Write sqlite:///path/to/file.db.",
                )
            return SqliteDatabase(parsed.database, name=name, timeout_ms=timeout_ms)
        case "postgresql" | "postgres":
            from semilayer_pipelines.bridges.postgres import postgres_dialect
            from semilayer_pipelines.bridges.server import ServerDatabase

            url_ = parsed.set(drivername="postgresql+psycopg")
            dialect = postgres_dialect(timeout_ms)
            return ServerDatabase(url_, dialect, name=name, timeout_ms=timeout_ms)
        case "mysql" | "mariadb":
            from semilayer_pipelines.bridges.mariadb import mariadb_dialect
            from semilayer_pipelines.bridges.server import ServerDatabase

            url_ = parsed.set(drivername="mysql+pymysql")
            dialect = mariadb_dialect(timeout_ms)
            return ServerDatabase(url_, dialect, name=name, timeout_ms=timeout_ms)
        case other:
            raise ConfigError(
                f"source {name!r}: there is no bridge for {other!r} databases.",
                cure="Use sqlite:///, postgresql://, mysql:// or mariadb://.",
            )


def _parsed(url: str, name: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _no_url(name) from None
    # The end of a password with an @ in it; a driver would print it as the host that it looked for.
    if "@" in (parsed.host or ""):
        raise _no_url(name)
    return parsed


def _no_url(name: str) -> ConfigError:
    return ConfigError(
        f"source {name!r}: the connection is no URL such as postgresql://user@host/database.",
        cure="Percent-encode special characters in the password (@ is %40, / is %2F).",
    )
