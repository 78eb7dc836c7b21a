"""`semilayer init`: a first sl.config.yaml, from what a database shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
from pydantic import ValidationError

from semilayer_pipelines.bridges import open_bridge
from semilayer_pipelines.bridges.protocol import Bridge
from semilayer_pipelines.cli.context import json_option, say, say_aside, say_json
from semilayer_pipelines.cli.issued_keys import issued_json, tell_issued
from semilayer_pipelines.config.models import Bridge as BridgeKind
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.control.environments import IssuedKey, first_keys
from semilayer_pipelines.errors import (
    ConfigError,
    SchemaMismatch,
    SemilayerError,
    Transient,
)
from semilayer_pipelines.project import Project, Settings
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry.environments import DEFAULT_ENV
from semilayer_pipelines.starter.beside import told_beside, write_beside
from semilayer_pipelines.starter.candidates import Candidate, candidate, why_left
from semilayer_pipelines.starter.config_text import SOURCE, starter
from semilayer_pipelines.starter.new_file import new_config_file, write_new
from semilayer_pipelines.stores import open_store

__all__ = ["init"]

VARIABLE = "DATABASE_URL"
SILENT = 3
"""After so many tables in a row that do not answer, it is the database that does not."""
_TAKEN_FROM_THERE = f"${{{VARIABLE}}}"


@click.command()
@click.option(
    "--connection",
    help=f"URL of the database, or ${{VAR}} to take it from there; by default {VARIABLE}, if set.",
)
@click.option("--table", "tables", multiple=True, help="Only this table (may be repeated).")
@click.option(
    "--key",
    multiple=True,
    help="Key column of a table without a primary key, or of the one --table in place of its own "
    "(repeat for several columns).",
)
@click.option("--stack", help="Name of the project; the folder's name by default.")
@json_option
def init(
    connection: str | None,
    tables: tuple[str, ...],
    key: tuple[str, ...],
    stack: str | None,
    as_json: bool,
) -> None:
    """Write sl.config.yaml by looking at the tables of a database.

    A table becomes a lens when a key identifies its rows and it has texts. Columns of prose are
    embedded, a column that moves with every change is tracked, and the rest is kept to filter by.
    In a terminal it asks for what it cannot find out. A password is never written: the file then
    takes the URL from the environment. Dagster's files are put beside it if they are missing.
    The environment gets its keys, which are printed only this once.
    """
    file = new_config_file()
    source, environ = _source(_connection(connection))
    root = Settings.from_environ(os.environ, Path.cwd()).root
    bridge = open_bridge(source, name=SOURCE, environ=environ, folder=root)
    try:
        found, left = _look(bridge, tuple(dict.fromkeys(tables)), tuple(dict.fromkeys(key)))
    finally:
        bridge.close()
    if not found:
        raise _nothing_found(left)
    if key and all(one.key != tuple(dict.fromkeys(key)) for one in found):
        raise _key_unused(key, found, left if tables else {})
    config = write_new(
        file, starter(stack or file.parent.resolve().name or "project", source.connection, found)
    )
    beside = write_beside(file.parent)
    store = _ask_store(config.lenses)
    issued, untold = _issue_keys(environ)
    if as_json:
        say_json(
            {
                "file": str(file),
                "beside": beside,
                "connection": source.connection,
                "lenses": _json(found),
                "left": left,
                "keys": issued_json(issued),
            }
            | ({} if store is None else {"store": store})
        )
        return
    _tell(found, left)
    if beside:
        say(told_beside(beside))
    say(f"Wrote {file.name}. Look it over, then register its lenses: semilayer push")
    if store is not None:
        say(f"The store cannot hold them yet: {store}")
    if untold is not None:
        say(f"No key was made yet: {untold}")
    if environ.get(VARIABLE) != os.environ.get(VARIABLE):
        say(
            f"The URL holds a password, so the file asks for it: export {VARIABLE}=… before, or "
            f"write {VARIABLE}=… into a file .env beside {file.name}."
        )
    tell_issued(os.environ.get("SEMILAYER_ENV", DEFAULT_ENV), issued, say)


def _issue_keys(environ: Mapping[str, str]) -> tuple[Sequence[IssuedKey], str | None]:
    """Return the first keys of this environment, and why there are none; the file is written."""
    try:
        project = Project.from_environ(environ, Path.cwd())
        return first_keys(project, project.settings.env), None
    except SemilayerError as error:
        return (), redact(f"{error.message} {error.cure}".strip())


def _ask_store(lenses: Iterable[str]) -> str | None:
    """Return what keeps the store of this environment from holding lenses, `None` for nothing."""
    try:
        settings = Settings.from_environ(os.environ, Path.cwd())
        folder = settings.home / settings.store
        store = open_store(settings.store, folder, settings.env, environ=os.environ)
        store.check(dict.fromkeys(lenses, False))
    except SemilayerError as error:
        return redact(f"{error.message} {error.cure}".strip())
    return None


def _nothing_found(left: Mapping[str, str]) -> SchemaMismatch:
    why = "; ".join(f"{name}: {reason}" for name, reason in left.items()) or "there is none"
    return SchemaMismatch(
        f"No table of this database can become a lens: {why}.",
        cure="A lens needs a key and a column of texts; --key names one for a view.",
    )


def _key_unused(
    key: Sequence[str], found: Iterable[Candidate], left: Mapping[str, str]
) -> ConfigError:
    """Return what to say of a --key that no lens would have."""
    have = [f"{one.table}: {', '.join(one.key)}" for one in found]
    have += [f"{name} is left: {reason}" for name, reason in left.items()]
    return ConfigError(
        f"No lens would have the key that --key names ({', '.join(key)}). {'; '.join(have)}.",
        cure="Name the one table that it is for: --table NAME --key COLUMN.",
    )


def _tell(found: Sequence[Candidate], left: Mapping[str, str]) -> None:
    for one in found:
        texts = ", ".join(field.name for field in one.fields if field.searchable)
        tracking = " or ".join(one.tracking)
        follows = f"follows {tracking}" if tracking else "no column tells what changed"
        aside = f"; not embedded, because personal: {', '.join(one.personal)}"
        html = f" (HTML: {', '.join(names)})" if (names := _html(one)) else ""
        codes = f"; finds codes in {', '.join(names)}" if (names := _codes(one)) else ""
        personal = aside if one.personal else ""
        say(f"lens  {one.table}: embeds {texts}{html}; {follows}{codes}{personal}")
    for name, why in left.items():
        say(f"left  {name}: {why}")


def _connection(given: str | None) -> str:
    """Return the connection that was given, is in the environment, or somebody types."""
    if given is not None:
        return given
    if VARIABLE in os.environ:
        return _TAKEN_FROM_THERE
    if not sys.stdin.isatty():
        raise ConfigError(
            "Which database?", cure=f"Pass --connection URL, or set {VARIABLE} to it."
        )
    typed: str = click.prompt(
        "Database (sqlite:///file.db, postgresql://user:password@host/name)", err=True
    )
    return typed


def _source(connection: str) -> tuple[SourceConfig, dict[str, str]]:
    """Return the source as it is written into the file, and the variables to open it with now."""
    environ = dict(os.environ)
    try:
        return SourceConfig(bridge=BridgeKind.SQL, connection=connection), environ
    except ValidationError:
        # It holds a password, which no configuration may.
        source = SourceConfig(bridge=BridgeKind.SQL, connection=_TAKEN_FROM_THERE)
        return source, environ | {VARIABLE: connection}


def _look(
    bridge: Bridge, tables: Sequence[str], key: tuple[str, ...]
) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates, and by table why others are none."""
    found: list[Candidate] = []
    left: dict[str, str] = {}
    silent = 0
    for name in tables or _chosen(bridge.tables()):
        try:
            one = _candidate(bridge, name, key, named=bool(tables), alone=len(tables) == 1)
        except SemilayerError as error:
            silent = silent + 1 if isinstance(error, Transient) else 0
            # A table that somebody named has to be one. Of the others, what can be read is worth a
            # file, as long as the database is there.
            if tables or silent == SILENT:
                raise
            left[name] = why_left(error)
            continue
        silent = 0
        if isinstance(one, Candidate):
            found.append(one)
        else:
            left[name] = one
    return found, left


def _candidate(
    bridge: Bridge, name: str, key: tuple[str, ...], *, named: bool, alone: bool
) -> Candidate | str:
    table = bridge.table(name)
    if named and not (table.key or table.unique or table.rowid or key) and sys.stdin.isatty():
        columns = [column.name for column in table.columns]
        answer = click.prompt(
            f"{name} has no primary key. Which column identifies a row?",
            type=click.Choice(columns),
            err=True,
        )
        key = (answer,)
    return candidate(bridge, table, key, any_texts=named, instead=alone)


def _chosen(names: list[str]) -> list[str]:
    """Return the tables of somebody's own; ask which, where somebody can be asked."""
    own = [n for n in names if not n.startswith("sl_") and n != "alembic_version"]
    if len(own) < 2 or not sys.stdin.isatty():
        return own
    say_aside(f"Tables: {', '.join(own)}")
    answer = click.prompt("Which of them (names with commas between)", default="all", err=True)
    return own if answer == "all" else [name.strip() for name in answer.split(",") if name.strip()]


def _html(one: Candidate) -> list[str]:
    return [field.name for field in one.fields if field.html]


def _codes(one: Candidate) -> list[str]:
    return [field.name for field in one.fields if field.code]


def _json(found: list[Candidate]) -> list[dict[str, object]]:
    return [
        {
            "table": one.table,
            "key": list(one.key),
            "tracking": one.tracking,
            "searchable": [field.name for field in one.fields if field.searchable],
            "fields": [field.name for field in one.fields],
            "html": _html(one),
            "codes": _codes(one),
            "leftOut": list(one.left_out),
            "personal": list(one.personal),
        }
        for one in found
    ]
