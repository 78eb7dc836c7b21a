"""Which lenses read which tables of a source, and by which key.

A lens that needs a rebuild is kept in sync by the configuration that its index was built with,
while the new index is filled by the new one. It reads by both then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from semilayer_pipelines.bridges.protocol import Bridge, Selection
from semilayer_pipelines.config.models import LensConfig, SourceConfig
from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.follow.feed import Watched
from semilayer_pipelines.mapping.columns import key_of
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, feeds, lenses, sources
from semilayer_pipelines.registry.feeds import Readership
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["FollowedSource", "Reading", "followed_sources", "readings_of", "watched"]


@dataclass(frozen=True)
class Reading:
    """A lens as it reads a table.

    `sure`: every delete is one of its index. A lens that reads by two configurations looks instead:
    the other table may have a row of the same key.
    """

    lens: Lens
    key: tuple[str, ...]
    table: str
    sure: bool

    @property
    def selection(self) -> Selection:
        """The key columns of the table."""
        return Selection(self.table, self.key, self.key)


@dataclass(frozen=True)
class FollowedSource:
    """A source with a feed, as it was registered when its lenses were `readership`."""

    env: str
    env_id: int
    name: str
    config: SourceConfig
    readership: Readership
    lenses: tuple[tuple[Lens, LensConfig], ...]


def followed_sources(project: Project, env: str) -> list[FollowedSource]:
    """Return the sources of an environment that say `cdc`. Raises `NotFound`."""
    with project.registry.read() as db:
        env_id = environments.get(db, env).id
        known = [(lens, in_force(db, lens).config) for lens in lenses.list_all(db, env)]
        return [
            FollowedSource(
                env,
                env_id,
                name,
                config,
                feeds.readership(db, env_id, name),
                tuple(one for one in known if name in (one[0].config.source, one[1].source)),
            )
            for name, config in sources.list_all(db, env_id).items()
            if config.cdc is not None
        ]


def readings_of(source: FollowedSource, bridge: Bridge) -> tuple[Reading, ...]:
    """Return how the lenses of a source read its tables; without those whose table is not there.

    Raises what the bridge raises.
    """
    return tuple(
        reading for lens, kept in source.lenses for reading in _readings(source, lens, kept, bridge)
    )


def watched(readings: tuple[Reading, ...]) -> Watched:
    """Return the tables and the columns that a feed is to tell for these readings."""
    found: dict[str, dict[str, None]] = {}
    for reading in readings:
        found.setdefault(reading.table, {}).update(dict.fromkeys(reading.key))
    return {table: tuple(columns) for table, columns in found.items()}


def _readings(
    source: FollowedSource, lens: Lens, kept: LensConfig, bridge: Bridge
) -> Iterator[Reading]:
    found: dict[tuple[str, tuple[str, ...]], Reading] = {}
    for config in (kept, lens.config):
        if config.source != source.name:
            continue
        try:
            key = key_of(config, bridge.table(config.table))
        except SchemaMismatch:
            continue  # its jobs say so
        found[config.table, key] = Reading(lens, key, config.table, sure=True)
    alone = len(found) == 1 and kept.source == lens.config.source
    for reading in found.values():
        yield reading if alone else replace(reading, sure=False)
