"""From a connection URL to the database behind it.

Drivers are imported here and late, so that a process that never reads a source never loads them.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from semilayer_pipelines.bridges.database import Database
from semilayer_pipelines.bridges.postgres_names import search_path
from semilayer_pipelines.config.database_url import DatabaseUrl, database_url
from semilayer_pipelines.config.url_parameters import (
    Parameters,
    postgres_arguments,
    read_parameters,
)
from semilayer_pipelines.errors import ConfigError

__all__ = ["mysql_arguments", "open_database"]

_log = logging.getLogger(__name__)

_ALL_ROWS = "SET SESSION sql_select_limit = 18446744073709551615"
"""A MySQL server may be set to leave rows of an answer out; then they would pass for gone."""


def open_database(url: str, *, timeout_ms: int, name: str, folder: Path = Path()) -> Database:
    """Return the database of a URL, not connected yet; raises `ConfigError`.

    A relative path of a SQLite file begins in `folder`. What was left out of the URL, or read in
    another way, is logged once for each process.
    """
    where = f"source {name!r}"
    parsed = database_url(url, where=where)
    match parsed.kind:
        case "sqlite":
            _told(read_parameters(parsed, where=where))
            from semilayer_pipelines.bridges.sqlite import SqliteDatabase

            if not parsed.database or parsed.database == ":memory:":
                raise ConfigError(
                    f"{where}: the connection names no SQLite file.",
                    cure="Write sqlite:///path/to/file.db.",
                )
            file = str(folder / parsed.database)
            return SqliteDatabase(file, name=name, timeout_ms=timeout_ms)
        case "postgresql":
            return _postgres(parsed, _told(read_parameters(parsed, where=where)), timeout_ms, name)
        case "mysql":
            return _mysql(parsed, _told(read_parameters(parsed, where=where)), timeout_ms, name)
        case other:
            raise ConfigError(
                f"{where}: there is no bridge for {other!r} databases.",
                cure="Use sqlite:///, postgresql://, mysql:// or mariadb://.",
            )


def _postgres(url: DatabaseUrl, asked: Parameters, timeout_ms: int, name: str) -> Database:
    from semilayer_pipelines.bridges.postgres import postgres_dialect
    from semilayer_pipelines.bridges.server import ServerDatabase

    dialect = postgres_dialect(timeout_ms)
    arguments = postgres_arguments(url, asked) | dialect.engine["connect_args"]
    begin = dialect.begin
    if path := search_path(asked.search_path):
        begin += f"; {path}".replace("%", "%%")
    dialect = replace(dialect, begin=begin, engine=dialect.engine | {"connect_args": arguments})
    address = URL.create("postgresql+psycopg", database=url.database or None)
    return ServerDatabase(address, dialect, name=name, timeout_ms=timeout_ms)


def _mysql(url: DatabaseUrl, asked: Parameters, timeout_ms: int, name: str) -> Database:
    from semilayer_pipelines.bridges.mariadb import mariadb_dialect
    from semilayer_pipelines.bridges.server import ServerDatabase

    dialect = mariadb_dialect(timeout_ms)
    arguments = dialect.engine["connect_args"] | mysql_arguments(url, asked, f"source {name!r}")
    dialect = replace(dialect, engine=dialect.engine | {"connect_args": arguments})
    address = URL.create("mysql+pymysql")
    return ServerDatabase(address, dialect, name=name, timeout_ms=timeout_ms)


def mysql_arguments(url: DatabaseUrl, asked: Parameters, where: str) -> dict[str, Any]:
    """Return what PyMySQL is told to connect to; `where` is the source in messages."""
    if len(url.hosts) > 1:
        _tell(f"{where}: of the hosts in the URL only the first is used.")
    host, port = url.hosts[0] if url.hosts else (None, None)
    named = {"host": host, "port": port, "user": asked.user, "database": url.database or None}
    given = {name: value for name, value in named.items() if value is not None}
    # As bytes: of a text PyMySQL makes latin1, whatever the server was told in.
    password = (asked.password or "").encode()
    arguments: dict[str, Any] = {
        "init_command": _ALL_ROWS,
        **given,
        "password": password,
        **asked.driver,
    }
    if "connect_timeout" in arguments:
        arguments["connect_timeout"] = int(arguments["connect_timeout"])
    return arguments | _mysql_tls(asked, where)


def _mysql_tls(asked: Parameters, where: str) -> dict[str, Any]:
    if asked.tls == "off":
        return {"ssl_disabled": True}
    if asked.tls is not None or asked.tls_files:
        return {"ssl": _context(asked, where)}
    return {}


def _context(asked: Parameters, where: str) -> ssl.SSLContext:
    """Return how a MySQL server's certificate is checked; the name in it too with `identified`."""
    files = dict(asked.tls_files)
    if "key" not in files and "ca" not in files and "cert" in files:
        # Prisma's word for the certificate of whoever signed the server's.
        files["ca"] = files.pop("cert")
    tls = asked.tls or ("identified" if "ca" in files else "encrypted")
    if tls == "encrypted" and "ca" in files:
        tls = "trusted"
    try:
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "cert" in files:
            context.load_cert_chain(files["cert"], files.get("key"), files.get("password"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{where}: a certificate or key that the URL names cannot be used: "
            f"{getattr(error, 'strerror', None) or type(error).__name__}.",
            cure="Check the paths behind ssl_ca, ssl_cert and ssl_key.",
        ) from None
    context.check_hostname = tls == "identified"
    if tls == "encrypted":
        context.verify_mode = ssl.CERT_NONE
    return context


def _told(asked: Parameters) -> Parameters:
    for note in asked.notes:
        _tell(note)
    return asked


@cache
def _tell(note: str) -> None:
    _log.warning(note)
