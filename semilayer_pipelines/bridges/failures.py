"""Database errors in the words of our own tree.

Four answers matter to a caller: may it pass (`SourceUnreachable`), did the source say no
(`SourceRefused`), was it a single value (`ValueRefused`), or is something named that does not exist
(`SchemaMismatch`)? No message may hold a password: drivers' texts go through `redact`, connection
strings are never quoted.
"""

from __future__ import annotations

import os

from semilayer_pipelines.errors import (
    NotPermitted,
    SchemaMismatch,
    SemilayerError,
    SourceLocked,
    SourceRefused,
    SourceUnreachable,
)
from semilayer_pipelines.redaction import redact

__all__ = ["ValueRefused", "mariadb_failure", "postgres_failure", "sqlite_failure"]


class ValueRefused(SourceRefused):
    """The database cannot work with a value: one that was bound, or one that a row holds.

    Another statement, without that id or that row, may go through; `said` is what was wrong.
    """

    def __init__(self, source: str, said: str) -> None:
        super().__init__(
            f"source {source!r} cannot use a value: {_sentence(said)}",
            cure="Correct the row, or the view that computes it.",
        )
        self.said = said


_POSTGRES_DATA = ("21", "22", "2F", "38", "39", "P0")
"""Classes of what one row can bring about: its values, its sub-select, a function over it."""

_POSTGRES_DATA_STATES = ("54000", "54001", "XX001")
"""A value too large or too deep, and a value that is damaged on disk."""

_MARIADB_DATA = (
    *(1242, 1264, 1265, 1292, 1365, 1366, 1367, 1406, 1411, 1416, 1426, 1441, 1525, 1644, 1690),
    *(1267, 1270, 1271, 1918, 1919, 3037, 3064, 3140, 3141, 3143, 3146, 3156, 3157, 3854, 4078),
)
"""Sub-selects of several rows, values out of range, truncated or of no calendar, bad JSON, bad
geometry, collations that do not mix, and what a function signals."""

_MARIADB_PASSES = frozenset(
    {
        0,  # PyMySQL's own "connection already closed"
        *(1021, 1040, 1041, 1129, 1135, 1203, 1226),  # no room: disk, memory, connections, a quota
        *(1053, 1077, 1079, 1152, 1184, 1927, 3169),  # it stops, or ended the connection
        *(1158, 1159, 1160, 1161, 4031),  # the network, or silence for `wait_timeout`
        *(1047, 3032, 3168),  # a node that is not ready, or offline
        1213,  # a deadlock
        *(9001, 9501),  # a proxy that reaches no server: ProxySQL's, and that of Amazon RDS
    }
)

_SQLITE_NO_DATA = (
    "interrupted",
    "out of memory",
    "disk i/o error",
    "is full",
    "schema has changed",
)

_SQLITE_OF_PROGRAMS = ("no such function", "no such module", "no such collation sequence")
"""What a program adds to its own SQLite."""

_POSTGRES_CONNECT_REFUSALS = (
    "password authentication failed",
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
    "is not permitted to log in",
    "is not currently accepting connections",
    "server does not support SSL",
    "certificate verify failed",
    # Of the URL: libpq reads it again for each connection.
    "invalid connection option",
    "invalid integer value",
    "invalid port number",
    ' value: "',
)


def postgres_failure(error: BaseException, source: str, timeout_ms: int) -> SemilayerError:
    """Translate a psycopg error."""
    state: str | None = getattr(error, "sqlstate", None)
    said = _said(error)
    match state:
        case None:
            if any(phrase in said for phrase in _POSTGRES_CONNECT_REFUSALS):
                return _refused(source, said)
            return _unreachable(source, said)
        case "55P03":
            slow = _too_slow(source, said, timeout_ms)
            return SourceLocked(slow.message, cure=slow.cure)
        case "57014" | "25P03" | "25P04":
            return _too_slow(source, said, timeout_ms)
        case "42P01" | "42703" | "3F000":
            return _gone(source, said)
        case "42501":
            return _not_permitted(source, said, "Grant the user SELECT on it.")
        case "3D000" | "25006" | "28000" | "28P01":
            return _refused(source, said)
        case state if state[:2] in _POSTGRES_DATA or state in _POSTGRES_DATA_STATES:
            return ValueRefused(source, said)
        # Connection, resources, operator intervention, system error, rollback: each may pass.
        case state if state[:2] in ("08", "53", "57", "58", "40"):
            return _unreachable(source, said)
        case _:
            return _refused(source, said)


def mariadb_failure(error: BaseException, source: str, timeout_ms: int) -> SemilayerError:
    """Translate a PyMySQL error."""
    said = _said(error)
    if isinstance(error, RuntimeError) and "cryptography" in said:
        return SourceRefused(
            f"source {source!r}: the server wants the password encrypted.",
            cure="Connect with TLS (?ssl_ca=...) or install the package 'cryptography'.",
        )
    if "CERTIFICATE_VERIFY_FAILED" in said or "SSL is required but" in said:
        return _refused(source, said)
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    match code:
        case 1969 | 3024 | 1317 | 1205:
            return _too_slow(source, said, timeout_ms)
        case 1146 | 1054 | 1356:
            return _gone(source, said)
        case 1142 | 1143 | 1370:
            return _not_permitted(
                source,
                said,
                "Grant the user SELECT on it, or correct the name in the lens: the server says the "
                "same of a table or a column that is not there.",
            )
        case code if code in _MARIADB_DATA:
            return ValueRefused(source, said)
        case code if code in _MARIADB_PASSES or 2000 <= code < 2100:
            return _unreachable(source, said)
        case _:
            return _refused(source, said)


def sqlite_failure(error: BaseException, source: str, path: str) -> SemilayerError:
    """Translate an error of the ADBC driver, which knows only texts."""
    said = _said(error)
    lowered = said.lower()
    if any(word in lowered for word in ("locked", "busy", "disk is full", "disk i/o error")):
        return _unreachable(source, said)
    if "no such table" in lowered or "no such column" in lowered:
        return _gone(source, said)
    if "readonly" in lowered and os.path.exists(f"{path}-journal"):
        return SourceUnreachable(
            f"source {source!r}: a program that wrote to the SQLite file {path!r} died and left "
            "its journal, and here nothing is written that could take its change back.",
            cure="Start the application again, or open the file once with sqlite3 and list its "
            "tables. It is tried again.",
        )
    if "unable to open" in lowered or "readonly" in lowered:
        return SourceRefused(
            f"source {source!r}: the SQLite file {path!r} cannot be opened for reading ({said}).",
            cure="Check the permissions; a database in WAL mode needs a folder that may be "
            "written to.",
        )
    if "not a database" in lowered:
        return SourceRefused(
            f"source {source!r}: {path!r} is no SQLite database ({said}).",
            cure="Name the file of the database in the source's connection.",
        )
    if "image is malformed" in lowered:
        return SourceRefused(
            f"source {source!r}: the SQLite file {path!r} is damaged or cut off ({said}).",
            cure="Restore it from a backup; `PRAGMA integrity_check` in sqlite3 tells what is "
            "wrong. The index keeps what it has.",
        )
    if missing := next((what for what in _SQLITE_OF_PROGRAMS if what in lowered), None):
        return SourceRefused(
            f"source {source!r}: the SQLite here lacks what the table needs ({missing}: "
            f"{said.partition(missing)[2].lstrip(': ')}).",
            cure="The application brings it along. Read a table or a view that does without.",
        )
    # Prepared, but stopped at a row: a cast, a function or a sum that its values do not allow.
    _, at_a_row, why = said.partition("Failed to step query: ")
    if at_a_row and not any(phrase in lowered for phrase in _SQLITE_NO_DATA):
        return ValueRefused(source, why)
    return SourceRefused(
        f"source {source!r} refused: {_sentence(said)}",
        cure="Look whether sqlite3 can read the table, and what the lens asks of it.",
    )


def _said(error: BaseException) -> str:
    # PyMySQL's arguments are (code, text); others are one text.
    last = error.args[-1] if error.args else ""
    # ADBC tells the whole statement behind the reason.
    text = " ".join(str(last).partition("\nquery:")[0].split()) or type(error).__name__
    return redact(text.removeprefix("connection failed: "))


def _unreachable(source: str, said: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"source {source!r} cannot be reached: {_sentence(said)}",
        cure="It is tried again; check that the database is up and the address is right.",
    )


def _too_slow(source: str, said: str, timeout_ms: int) -> SourceUnreachable:
    return SourceUnreachable(
        f"source {source!r} took longer than {timeout_ms} ms for a statement: {_sentence(said)}",
        cure="Raise the source's 'timeout', or add an index on the key and the tracked column.",
    )


def _refused(source: str, said: str) -> SourceRefused:
    return SourceRefused(
        f"source {source!r} refused: {_sentence(said)}",
        cure="Check the user, its password and its rights (SELECT is enough).",
    )


def _not_permitted(source: str, said: str, cure: str) -> NotPermitted:
    return NotPermitted(
        f"source {source!r} does not let its user read what the lens needs: {_sentence(said)}",
        cure=cure,
    )


def _gone(source: str, said: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"source {source!r}: the schema is not what the lens says: {_sentence(said)}",
        cure="Correct the lens in sl.config.yaml and push it again: `semilayer push`.",
    )


def _sentence(said: str) -> str:
    # The cure follows, and drivers end their texts in any way.
    return said if said.endswith((".", "?", "!")) else f"{said}."
