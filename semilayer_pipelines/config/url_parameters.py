"""What the parameters of a database URL mean, in whatever framework's words they are written.

Each is passed to the driver, translated, or left out with a line that says so. An unknown one is
refused by its name: a driver's own complaint would be a traceback, or look like an outage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from semilayer_pipelines.config.database_url import DatabaseUrl
from semilayer_pipelines.config.url_words import (
    CHOICES,
    LEFT_OUT,
    LIBPQ,
    MYSQL_DRIVER,
    MYSQL_TLS,
    NUMBERS,
    OF_SQLITE,
    TARGETS,
    TLS_MODES,
    Tls,
)
from semilayer_pipelines.errors import ConfigError, nearest

__all__ = ["Parameters", "Tls", "postgres_arguments", "read_parameters"]


@dataclass
class Parameters:
    """What a URL's parameters ask for.

    `driver` goes to the driver as it is. `search_path` are schemas of PostgreSQL. `notes` say, a
    sentence each, what was translated or left out.
    """

    user: str | None = None
    password: str | None = field(default=None, repr=False)
    driver: dict[str, str] = field(default_factory=dict)
    search_path: tuple[str, ...] = ()
    tls: Tls | None = None
    tls_files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


_YES, _NO = {"true", "1", "yes", "on", ""}, {"false", "0", "no", "off"}


def read_parameters(url: DatabaseUrl, *, where: str) -> Parameters:
    """Return what a URL's parameters ask for; `where` begins every note and message.

    Raises `ConfigError` for an unknown parameter, and for a value that one cannot have.
    """
    found = Parameters(url.user, url.password)
    left_out: dict[str, list[str]] = {}
    take = {"postgresql": _postgres, "mysql": _mysql}.get(url.kind, _nothing)
    for name, value in url.parameters:
        plain = _plain(name)
        if plain in ("user", "username") and url.kind != "sqlite":
            found.user = found.user or value
        elif plain == "password" and url.kind != "sqlite":
            found.password = found.password if found.password is not None else value
        elif take(found, plain, name, value, where):
            continue
        elif plain in LEFT_OUT:
            left_out.setdefault(LEFT_OUT[plain], []).append(_shown(name))
        else:
            raise _unknown(name, url, where)
    found.notes += [
        f"{where}: left out of the URL: {', '.join(names)}; {why}."
        for why, names in left_out.items()
    ]
    return found


def postgres_arguments(url: DatabaseUrl, asked: Parameters) -> dict[str, str]:
    """Return what a PostgreSQL driver is told to connect to; several hosts are tried in turn."""
    arguments = {"user": asked.user, "password": asked.password, "dbname": url.database or None}
    if url.hosts:
        arguments["host"] = ",".join(host for host, _ in url.hosts)
    if any(port for _, port in url.hosts):
        arguments["port"] = ",".join(str(port or 5432) for _, port in url.hosts)
    return {name: value for name, value in arguments.items() if value is not None} | asked.driver


def _postgres(found: Parameters, plain: str, name: str, value: str, where: str) -> bool:
    """Take a parameter of PostgreSQL; say whether it was one."""
    word = value.strip().lower()
    match plain:
        case "schema" | "currentschema" | "searchpath":
            parts = (part.strip().strip('"') for part in value.split(","))
            found.search_path = tuple(part for part in parts if part)
            found.notes.append(f"{where}: {_shown(name)} is read as the search path.")
        case "ssl" | "usessl" | "tls" | "requiressl" | "sslmode" | "sslaccept":
            _postgres_tls(found, name, word, where)
        case "sslfactory":
            found.driver.setdefault("sslmode", "require")
            found.notes.append(f"{where}: {_shown(name)} is read as sslmode=require.")
        case "targetservertype":
            target = _one_of(name, re.sub(r"[^a-z]", "", word), TARGETS, where)
            found.driver["target_session_attrs"] = TARGETS[target]
        case "applicationname":
            found.driver["application_name"] = value
        case "logintimeout":
            found.driver["connect_timeout"] = _number(name, value, where)
        case "sslidentity":
            raise _pkcs12(name, "sslcert=… and sslkey=…", where)
        case _:
            known = {_plain(one): one for one in LIBPQ}
            if plain not in known:
                return False
            driver = known[plain]
            if driver in CHOICES:
                value = _one_of(name, word, CHOICES[driver], where)
            found.driver[driver] = _number(name, value, where) if driver in NUMBERS else value
    return True


def _postgres_tls(found: Parameters, name: str, word: str, where: str) -> None:
    word = word.replace("_", "-")
    if _plain(name) == "sslmode" and word in TLS_MODES:
        found.driver["sslmode"] = word
        return
    match word:
        case "strict":
            mode = "verify-full"
            found.driver.setdefault("sslrootcert", "system")
        case "no-verify" | "accept-invalid-certs" | "required":
            mode = "require"
        case "disabled":
            mode = "disable"
        case word if word in _YES:
            mode = "require"
        case word if word in _NO:
            mode = "disable"
        case _:
            mode = _one_of(name, word, TLS_MODES, where)
    found.driver["sslmode"] = mode
    found.notes.append(f"{where}: {_shown(name)} is read as sslmode={mode}.")


def _mysql(found: Parameters, plain: str, name: str, value: str, where: str) -> bool:
    """Take a parameter of MySQL or MariaDB; say whether it was one."""
    word = value.strip().lower()
    match plain:
        case "sslmode" | "ssl" | "usessl" | "requiressl" | "tls" | "sslaccept":
            found.tls = _mysql_tls(name, word, where)
        case "ssldisabled":
            found.tls = "off" if word in _YES else found.tls
        case "verifyservercertificate" | "sslverifycert" | "sslverifyservercert":
            found.tls = "trusted" if word in _YES and found.tls != "identified" else found.tls
        case "sslverifyidentity" | "sslcheckhostname":
            found.tls = "identified" if word in _YES else found.tls
        case "trustservercertificate":
            found.tls = "encrypted" if word in _YES else found.tls
        case "sslca" | "serversslcert" | "sslrootcert" | "sslcacert":
            found.tls_files["ca"] = value
        case "sslcert" | "sslkey":
            found.tls_files[plain.removeprefix("ssl")] = value
        case "sslkeypassword" | "sslpassword":
            found.tls_files["password"] = value
        case "socket" | "unixsocket":
            found.driver["unix_socket"] = value
        case "connecttimeout":
            seconds = int(_number(name, value, where))
            # JDBC and Node count milliseconds.
            found.driver["connect_timeout"] = str(
                max(1, seconds // 1000 if seconds >= 500 else seconds)
            )
        case "sslidentity":
            raise _pkcs12(name, "ssl_cert=… and ssl_key=…", where)
        case _:
            known = {_plain(one): one for one in MYSQL_DRIVER}
            if plain not in known:
                return False
            found.driver[known[plain]] = value
    return True


def _mysql_tls(name: str, word: str, where: str) -> Tls | None:
    if word.startswith("{"):
        # Node's form: {"rejectUnauthorized": true}
        return "encrypted" if "false" in word else "identified"
    if word in _YES:
        return "encrypted"
    if word in _NO:
        return "off"
    modes = {re.sub(r"[-_]", "", mode): mode for mode in MYSQL_TLS}
    given = re.sub(r"[-_]", "", word)
    if given not in modes:
        _one_of(
            name, word, ["disabled", "preferred", "required", "verify_ca", "verify_identity"], where
        )
    return MYSQL_TLS[modes[given]]


def _nothing(found: Parameters, plain: str, name: str, value: str, where: str) -> bool:
    return False


def _pkcs12(name: str, instead: str, where: str) -> ConfigError:
    return ConfigError(
        f"{where}: {_shown(name)} names a PKCS #12 file, which cannot be read here.",
        cure=f"Take it apart with openssl, and write {instead}.",
    )


def _number(name: str, value: str, where: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}", value.strip(), re.ASCII):
        raise ConfigError(
            f"{where}: {_shown(name)} in the URL has to be a whole number.",
            cure="Correct it, or leave it out.",
        )
    return value.strip()


def _one_of(name: str, value: str, known: Iterable[str], where: str) -> str:
    choices = list(known)
    if value not in choices:
        raise ConfigError(
            f"{where}: {_shown(name)} in the URL has a value that there is not"
            f"{nearest(value, choices)}.",
            cure=f"It may be {', '.join(choices)}.",
        )
    return value


def _unknown(name: str, url: DatabaseUrl, where: str) -> ConfigError:
    match url.kind:
        case "postgresql":
            known = [*LIBPQ, "schema", "currentSchema", "search_path", "ssl"]
        case "mysql":
            known = [*MYSQL_DRIVER, "ssl-mode", "ssl_ca", "ssl_cert", "ssl_key", "ssl"]
        case _:
            known = OF_SQLITE
    return ConfigError(
        f"{where}: the URL has a parameter {_shown(name)}, which is not known here"
        f"{nearest(name, known)}.",
        cure="Correct it, or leave it out.",
    )


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name.lower())


def _shown(name: str) -> str:
    # A secret with an & in it continues as the name of a parameter; nobody names one like this.
    return repr(name) if re.fullmatch(r"[A-Za-z][\w.-]{0,40}", name, re.ASCII) else "without a name"
