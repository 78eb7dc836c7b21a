"""What the parameters of a database URL mean, in whatever framework's words they are written.

Each is passed to the driver, translated, or left out with a line that says so. An unknown one is
refused by its name: a driver's own complaint would be a traceback, or look like an outage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from semilayer_pipelines.config.database_url import DatabaseUrl
from semilayer_pipelines.errors import ConfigError, nearest

__all__ = ["Parameters", "Tls", "postgres_arguments", "read_parameters"]

Tls = Literal["off", "encrypted", "trusted", "identified"]
"""How far a MySQL server is checked: not at all, its certificate, its name in it as well."""


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


_LIBPQ = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "port",
    "require_auth",
    "requirepeer",
    "service",
    "sslcert",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
]
_NUMBERS = {
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_CHOICES = {
    "sslmode": _SSL_MODES,
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "target_session_attrs": (
        "any",
        "read-write",
        "read-only",
        "primary",
        "standby",
        "prefer-standby",
    ),
}
_TARGETS = {
    "master": "primary",
    "primary": "primary",
    "secondary": "standby",
    "slave": "standby",
    "prefersecondary": "prefer-standby",
    "preferslave": "prefer-standby",
    "preferprimary": "any",
    "any": "any",
}
_MYSQL_DRIVER = ("connect_timeout", "unix_socket", "bind_address", "program_name")
_MYSQL_TLS: dict[str, Tls | None] = {
    "disabled": "off",
    "disable": "off",
    # Without a word the driver takes TLS where the server offers it.
    "preferred": None,
    "prefer": None,
    "allow": None,
    "required": "encrypted",
    "require": "encrypted",
    "trust": "encrypted",
    "skip-verify": "encrypted",
    "no-verify": "encrypted",
    "acceptinvalidcerts": "encrypted",
    "verifyca": "trusted",
    "verifyidentity": "identified",
    "verifyfull": "identified",
    "strict": "identified",
}
_YES, _NO = {"true", "1", "yes", "on", ""}, {"false", "0", "no", "off"}

_SESSION = "every session here has settings of its own"
_POOL = "connections are pooled here in another way"
_TIMEOUT = "the source's 'timeout' bounds a statement"
_READ = "it changes nothing about reading rows"
_LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(
        [
            "pgbouncer",
            "connectionlimit",
            "pooltimeout",
            "statementcachesize",
            "poolsize",
            "maxconnections",
            "pool",
            "poolmode",
            "maxpoolsize",
            "minpoolsize",
            "max",
            "min",
            "maxuses",
            "idletimeout",
            "idletimeoutmillis",
            "connectionlifetime",
            "maxidle",
            "maxopen",
            "reapingfrequency",
            "checkouttimeout",
            "supa",
            "workaround",
            "preparestatements",
            "preparedstatements",
            "preparethreshold",
            "preparedstatementcachequeries",
            "preparedstatementcachesize",
            "preparedstatementcachesizemib",
            "preparedstatementnamefunc",
            "waitforconnections",
            "queuelimit",
            "keepalive",
            "enablekeepalive",
            "cacheprepstmts",
            "prepstmtcachesize",
            "prepstmtcachesqllimit",
            "useserverprepstmts",
            "serversideprepare",
            "poolmaxconns",
            "poolminconns",
            "poolmaxconnlifetime",
            "poolmaxconnidletime",
            "poolhealthcheckperiod",
            "defaultqueryexecmode",
            "connmaxage",
            "connhealthchecks",
            "pooling",
            "maximumpoolsize",
            "minimumpoolsize",
        ],
        _POOL,
    ),
    **dict.fromkeys(
        [
            "sockettimeout",
            "statementtimeout",
            "locktimeout",
            "idleintransactionsessiontimeout",
            "querytimeout",
            "readtimeout",
            "writetimeout",
            "timeout",
            "commandtimeout",
            "maxallowedpacket",
            "acquiretimeout",
        ],
        _TIMEOUT,
    ),
    **dict.fromkeys(
        [
            "clientencoding",
            "encoding",
            "charset",
            "characterencoding",
            "useunicode",
            "collation",
            "connectioncollation",
            "timezone",
            "servertimezone",
            "connectiontimezone",
            "loc",
            "datestyle",
            "sqlmode",
            "sessionvariables",
            "initcommand",
            "variables",
            "strict",
            "useaffectedrows",
            "defaultauth",
            "forceconnectiontimezonetosession",
            "zerodatetimebehavior",
            "tinyint1isbit",
            "uselegacydatetimecode",
            "parsetime",
            "datestrings",
            "supportbignumbers",
            "bignumberstrings",
            "decimalnumbers",
            "noaccesstoprocedurebodies",
            "flags",
            "uselibpqcompat",
        ],
        _SESSION,
    ),
    **dict.fromkeys(
        [
            "rewritebatchedinserts",
            "rewritebatchedstatements",
            "stringtype",
            "readonly",
            "binarytransfer",
            "defaultrowfetchsize",
            "tcpkeepalive",
            "autoreconnect",
            "reconnect",
            "failoverreadonly",
            "allowpublickeyretrieval",
            "allowmultiqueries",
            "multistatements",
            "multiplestatements",
            "interpolateparams",
            "usecursorfetch",
            "nullcatalogmeanscurrent",
            "permitmysqlscheme",
            "usecompression",
            "compress",
            "localinfile",
            "allowlocalinfile",
            "replication",
            "debug",
            "logger",
            "loggerlevel",
            "loggerfile",
            "profilesql",
            "adapter",
            "engine",
            "serverversion",
            "nodename",
            "asyncfallback",
            "libpqfallback",
            "gssdelegation",
            "sslcompression",
            "mode",
            "cache",
            "checksamethread",
            "journalmode",
            "busytimeout",
            "uri",
            "foreignkeys",
            "synchronous",
            "immutable",
        ],
        _READ,
    ),
}
_OF_SQLITE = [
    "mode",
    "cache",
    "checksamethread",
    "journalmode",
    "uri",
    "foreignkeys",
    "synchronous",
    "immutable",
]


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
        elif plain in _LEFT_OUT:
            left_out.setdefault(_LEFT_OUT[plain], []).append(_shown(name))
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
            target = _one_of(name, re.sub(r"[^a-z]", "", word), _TARGETS, where)
            found.driver["target_session_attrs"] = _TARGETS[target]
        case "applicationname":
            found.driver["application_name"] = value
        case "logintimeout":
            found.driver["connect_timeout"] = _number(name, value, where)
        case "sslidentity":
            raise ConfigError(
                f"{where}: {_shown(name)} names a PKCS #12 file, which cannot be read here.",
                cure="Take it apart with openssl, and write sslcert=… and sslkey=….",
            )
        case _:
            known = {_plain(one): one for one in _LIBPQ}
            if plain not in known:
                return False
            driver = known[plain]
            if driver in _CHOICES:
                value = _one_of(name, word, _CHOICES[driver], where)
            found.driver[driver] = _number(name, value, where) if driver in _NUMBERS else value
    return True


def _postgres_tls(found: Parameters, name: str, word: str, where: str) -> None:
    word = word.replace("_", "-")
    if _plain(name) == "sslmode" and word in _SSL_MODES:
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
            mode = _one_of(name, word, _SSL_MODES, where)
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
            raise ConfigError(
                f"{where}: {_shown(name)} names a PKCS #12 file, which cannot be read here.",
                cure="Take it apart with openssl, and write ssl_cert=… and ssl_key=….",
            )
        case _:
            known = {_plain(one): one for one in _MYSQL_DRIVER}
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
    modes = {re.sub(r"[-_]", "", mode): mode for mode in _MYSQL_TLS}
    given = re.sub(r"[-_]", "", word)
    if given not in modes:
        _one_of(
            name, word, ["disabled", "preferred", "required", "verify_ca", "verify_identity"], where
        )
    return _MYSQL_TLS[modes[given]]


def _nothing(found: Parameters, plain: str, name: str, value: str, where: str) -> bool:
    return False


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
            known = [*_LIBPQ, "schema", "currentSchema", "search_path", "ssl"]
        case "mysql":
            known = [*_MYSQL_DRIVER, "ssl-mode", "ssl_ca", "ssl_cert", "ssl_key", "ssl"]
        case _:
            known = _OF_SQLITE
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
