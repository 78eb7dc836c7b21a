"""What Dagster shows of the lenses: read from the registry, or from a file while that is down.

Every run's process builds the definitions again. A registry that is away for a moment must not
break it, so the last good answer is kept beside the project's state.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from semilayer_pipelines.config.database_url import database_url
from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.config.variables import filled
from semilayer_pipelines.errors import ConfigError, SemilayerError
from semilayer_pipelines.private_files import private_file, private_folder
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses, sources
from semilayer_pipelines.registry.stored_config import content_version

__all__ = ["LensEntry", "read_catalogue"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LensEntry:
    """A lens as the UI shows it.

    `database` is the kind of its source's, `None` if unknown. `columns` are its fields with their
    types; `version` changes with what its index holds. `joined` are the tables that it joins.
    """

    env: str
    name: str
    source: str
    database: str | None
    table: str
    shards: int
    provider: str
    model: str
    columns: tuple[tuple[str, str], ...]
    searchable: tuple[str, ...]
    sync_interval: str | None
    smart_sync_interval: str | None
    version: str
    deps: tuple[str, ...]
    automation: str
    freshness: str | None
    description: str | None
    group: str | None
    owners: tuple[str, ...]
    tags: tuple[tuple[str, str], ...]
    joined: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it reads, its own first."""
        return tuple(dict.fromkeys((self.table, *self.joined)))

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(name for name, _ in self.columns)

    @property
    def embedder(self) -> str:
        """What turns its texts into vectors, in words."""
        return "a hash, for tests" if self.provider == "hash" else self.model


def read_catalogue(project: Project) -> list[LensEntry]:
    """Return every lens of every environment; the last known ones when the registry is down."""
    cache = project.settings.home / "catalogue.json"
    try:
        with project.registry.read() as db:
            found = lenses.list_all(db)
            of_env = {env_id: sources.list_all(db, env_id) for env_id in {x.env_id for x in found}}
    except SemilayerError as error:
        _log.warning("%s The lenses shown are the last known ones.", error)
        return _read(cache)
    databases = {
        (env_id, name): _database(project, name, source)
        for env_id, named in of_env.items()
        for name, source in named.items()
    }
    entries = [_entry(lens, databases.get((lens.env_id, lens.config.source))) for lens in found]
    _write(cache, entries)
    return entries


def _database(project: Project, name: str, source: SourceConfig) -> str | None:
    # Not through the bridges: these load Polars, which Dagster's definitions do without.
    try:
        connection = filled(source.connection, project.environ, where=f"source {name!r}")
        return database_url(connection, where=name).kind
    except ConfigError:
        # A variable that this process lacks is a matter for the runs.
        return None


def _entry(lens: lenses.Lens, database: str | None) -> LensEntry:
    config = lens.config
    return LensEntry(
        env=lens.env,
        name=lens.name,
        source=config.source,
        database=database,
        table=config.table,
        shards=config.shards,
        provider=config.embedding.provider,
        model=config.embedding.model,
        columns=tuple((name, _type(field)) for name, field in config.fields.items()),
        searchable=tuple(name for name, field in config.fields.items() if field.searchable),
        sync_interval=config.sync_interval,
        smart_sync_interval=config.smart_sync_interval,
        version=content_version(config),
        deps=config.deps,
        automation=config.automation,
        freshness=config.freshness,
        description=config.description,
        group=config.group,
        owners=config.owners,
        tags=tuple(config.tags.items()),
        joined=tuple(join.table for join in config.joins.values()),
    )


def _type(field: FieldConfig) -> str:
    return f"list of {field.type.value}" if field.array else field.type.value


def _read(cache: Path) -> list[LensEntry]:
    try:
        return [
            LensEntry(**{name: _hashable(value) for name, value in entry.items()})
            for entry in json.loads(cache.read_text())
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be used (%s); no lenses are shown.", cache.name, error)
        return []


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _write(cache: Path, entries: list[LensEntry]) -> None:
    text = json.dumps([asdict(entry) for entry in entries])
    try:
        if cache.is_file() and cache.read_text() == text:
            return
        private_folder(cache.parent)
        # Renamed into place: processes that start meanwhile read the old file or the new one.
        half = cache.with_suffix(f".{os.getpid()}.tmp")
        private_file(half)
        half.write_text(text)
        half.replace(cache)
    except OSError as error:
        # Without the file everything works as long as the registry does.
        _log.warning("The list of lenses could not be kept: %s", error)
