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

from semilayer_pipelines.bridges.opening import database_kind
from semilayer_pipelines.config.models import SourceConfig
from semilayer_pipelines.errors import ConfigError, SemilayerError
from semilayer_pipelines.private_files import private_file, private_folder
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses, sources

__all__ = ["LensEntry", "read_catalogue"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LensEntry:
    """A lens as the UI shows it; `database` is the kind of its source's, `None` if unknown."""

    env: str
    name: str
    source: str
    database: str | None
    table: str
    shards: int
    provider: str
    model: str
    fields: tuple[str, ...]
    searchable: tuple[str, ...]
    sync_interval: str | None
    smart_sync_interval: str | None

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
            of_env = {lens.env_id: sources.list_all(db, lens.env_id) for lens in found}
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
    try:
        return database_kind(source, name=name, environ=project.environ)
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
        fields=tuple(config.fields),
        searchable=tuple(name for name, field in config.fields.items() if field.searchable),
        sync_interval=config.sync_interval,
        smart_sync_interval=config.smart_sync_interval,
    )


def _read(cache: Path) -> list[LensEntry]:
    try:
        return [
            LensEntry(**{**e, "fields": tuple(e["fields"]), "searchable": tuple(e["searchable"])})
            for e in json.loads(cache.read_text())
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("%s cannot be used (%s); no lenses are shown.", cache.name, error)
        return []


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
