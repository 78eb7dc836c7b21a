"""Bring the registry's tables to this version's shape.

A registry that is there already costs two small queries; Alembic is imported only when there is
something to do. It must never run two migrations at once, nor touch tables that are not ours.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, column, inspect, select, table

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.registry.engine import WRITES
from semilayer_pipelines.registry.sql import lock_for_migration

__all__ = ["HEAD", "VERSION_TABLE", "migrate"]

HEAD = "0019"
"""The newest migration. Revisions are numbers of four digits, so that they compare as texts."""

VERSION_TABLE = "sl_version"
MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing, in one transaction; safe to call from many processes.

    Raises `ConfigError` when the tables were made by a newer version of this program.
    """
    with engine.connect() as db:
        if _version(db) == HEAD:
            return
    with engine.execution_options(**{WRITES: True}).begin() as db:
        lock_for_migration(db)
        # Another process may have done it while this one waited.
        if _version(db) != HEAD:
            _upgrade(db)


def _version(db: Connection) -> str | None:
    if not inspect(db).has_table(VERSION_TABLE):
        return None
    version: str | None = db.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    if version is not None and version > HEAD:
        raise ConfigError(
            f"The registry's tables are of version {version}, this program knows up to {HEAD}.",
            cure="Upgrade semilayer-pipelines, or point it at another registry.",
        )
    return version


def _upgrade(db: Connection, to: str = HEAD) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    # The value is interpolated like one in an .ini file, where % must be doubled.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = db
    command.upgrade(config, to)
