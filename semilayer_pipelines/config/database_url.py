"""Database URLs as providers and frameworks hand them out, read as one kind of address.

Takes the forms of JDBC, Prisma, Rails, Go, Node and the providers' consoles. What a parameter means
is in `config.url_parameters`. No message holds any part of a URL but the names of parameters: what
cannot be parsed may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from semilayer_pipelines.errors import ConfigError

__all__ = ["DatabaseUrl", "Kind", "database_url"]

Kind = str
"""`sqlite`, `postgresql` or `mysql`; any other is a database that we cannot read."""

_KINDS = {
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgis": "postgresql",
    "pgsql": "postgresql",
    "psql": "postgresql",
    "mysql": "mysql",
    "mysql2": "mysql",
    "mysqli": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "file": "sqlite",
}
_PROXIES = {
    "prisma": "Prisma Accelerate",
    "prisma+postgres": "Prisma Accelerate",
    "libsql": "Turso",
    "mysqlx": "MySQL's X protocol",
}
# A console hands out whole commands, and a shell's file the quotation marks with the URL.
_WRAPPING = re.compile(r"(?:(?:psql|mysql|mariadb)\s+)?(['\"]?)(?P<url>.*)\1", re.DOTALL)
_SCHEME = re.compile(
    r"(?:jdbc:)?(?P<kind>[a-z][a-z0-9]*)(?P<driver>[+:][a-z0-9_-]+)?:(?P<rest>.*)",
    re.DOTALL | re.IGNORECASE,
)
_REST = re.compile(
    r"//(?:(?P<user>[^:/@?]*)(?::(?P<password>[^@]*))?@)?(?P<hosts>[^/?#]*)"
    r"(?:/(?P<database>[^?#]*))?(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.DOTALL,
)
_HOST = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)\]|(?P<host>[^:\[\]@\s]*))(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True)
class DatabaseUrl:
    """The parts of an address, decoded; `parameters` are (name, value) in the order of the text."""

    kind: Kind
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    hosts: tuple[tuple[str, int | None], ...] = ()
    database: str = ""
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def database_url(text: str, *, where: str) -> DatabaseUrl:
    """Take a URL apart; `where` begins the message of the `ConfigError` that others raise."""
    wrapped = _WRAPPING.fullmatch(text.strip())
    assert wrapped is not None, "anything matches"
    scheme = _SCHEME.fullmatch(wrapped["url"].strip())
    if scheme is None:
        raise _no_url(where)
    named, driver = scheme["kind"].lower(), (scheme["driver"] or "").lower()
    proxy = _PROXIES.get(f"{named}{driver}") or _PROXIES.get(named)
    if proxy is not None:
        raise ConfigError(
            f"{where}: this is an address of {proxy}, which gives no SQL connection.",
            cure="Use the direct address of the database behind it (in Prisma, DIRECT_URL).",
        )
    kind, rest = _KINDS.get(named, named), scheme["rest"]
    if kind == "sqlite":
        return _sqlite(named, rest)
    # jdbc:postgresql:shop is the database `shop` of this machine.
    parts = _REST.fullmatch(rest if rest.startswith("//") else f"///{rest}")
    if parts is None:
        raise _no_url(where)
    return DatabaseUrl(
        kind=kind,
        user=unquote(parts["user"]) if parts["user"] else None,
        password=None if parts["password"] is None else unquote(parts["password"]),
        hosts=tuple(_hosts(parts["hosts"], where)),
        database=unquote(parts["database"] or ""),
        parameters=tuple(parse_qsl(parts["query"] or "", keep_blank_values=True)),
    )


def _sqlite(named: str, rest: str) -> DatabaseUrl:
    path, _, query = rest.partition("?")
    if named != "file" and path.startswith("//"):
        # sqlite:///relative and sqlite:////absolute; sqlite://relative is meant as the former.
        path = path[3:] if path.startswith("///") else path[2:]
    elif path.startswith("///"):
        path = path[2:]  # file:///absolute
    return DatabaseUrl("sqlite", database=path, parameters=tuple(parse_qsl(query, True)))


def _hosts(text: str, where: str) -> Iterator[tuple[str, int | None]]:
    for one in text.split(",") if text else ():
        found = _HOST.fullmatch(one.strip())
        # An @ is the end of a password; a driver would print it as the host that it looked for.
        if found is None or int(found["port"] or 1) not in range(1, 65_536):
            raise _no_url(where)
        yield unquote(found["v6"] or found["host"]), int(found["port"]) if found["port"] else None


def _no_url(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: the connection is no URL such as postgresql://user@host/database.",
        cure="A SQLite file is sqlite:///path/to/file.db. Percent-encode special characters in a "
        "password (@ is %40, / is %2F).",
    )
