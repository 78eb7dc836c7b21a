"""Which lenses read which tables of a source, and by which key.

A lens that needs a rebuild is kept in sync by the configuration that its index was built with,
while the new index is filled by the new one. It reads by both then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from semilayer_pipelines.bridges.protocol import Bridge, Join, Selection
from semilayer_pipelines.config.models import LensConfig, SourceConfig
from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.follow.feed import Watched
from semilayer_pipelines.mapping.columns import key_of
from semilayer_pipelines.mapping.joined import LensTable, lens_table
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import environments, feeds, lenses, sources
from semilayer_pipelines.registry.feeds import Readership
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.lenses import Lens

__all__ = [
    "FollowedSource",
    "Joined",
    "Reading",
    "followed_source",
    "followed_sources",
    "left_out",
    "read_by",
    "readings_of",
    "watched",
]


@dataclass(frozen=True)
class Joined:
    """A table as a lens joins it: `rows` are the lens's own, which the join called `name` is of.

    `tells_gone`: the rows that joined a row are found when it is gone, because they name its key.
    """

    name: str
    rows: Selection
    tells_gone: bool


@dataclass(frozen=True)
class Reading:
    """A lens as it reads a table.

    `sure`: every delete is one of its index. A lens that reads by two configurations looks instead:
    the other table may have a row of the same key. `joined` is set for a table that it joins.
    """

    lens: Lens
    key: tuple[str, ...]
    table: str
    sure: bool
    joined: Joined | None = None

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
        # Read before what it stands for: a push in between is found by its readership then.
        read_by = {
            name: feeds.readership(db, env_id, name)
            for name, config in sources.list_all(db, env_id).items()
            if config.cdc is not None
        }
        known = [(lens, in_force(db, lens).config) for lens in lenses.list_all(db, env)]
        return [
            FollowedSource(
                env,
                env_id,
                name,
                config,
                read_by[name],
                tuple(one for one in known if name in (one[0].config.source, one[1].source)),
            )
            for name, config in sources.list_all(db, env_id).items()
            if config.cdc is not None and name in read_by
        ]


def followed_source(project: Project, env: str, name: str) -> FollowedSource | None:
    """Return one of them, `None` when it is none (any more). Raises `NotFound`."""
    return next((one for one in followed_sources(project, env) if one.name == name), None)


def read_by(readings: tuple[Reading, ...]) -> frozenset[tuple[int, str]]:
    """Return who reads what: the ids of lenses with the tables that they read."""
    return frozenset((reading.lens.id, reading.table) for reading in readings)


def left_out(source: FollowedSource, readings: tuple[Reading, ...]) -> frozenset[tuple[int, str]]:
    """Return the same of lenses that cannot read their tables now.

    Such a table may be back in a moment, or one that it joins. Other lenses may read it meanwhile.
    """
    named = frozenset(
        (lens.id, config.table)
        for lens, kept in source.lenses
        for config in (kept, lens.config)
        if config.source == source.name
    )
    return named - read_by(readings)


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
            table = lens_table(config, bridge)
            key = key_of(config, table.table)
            joins = [_joined(lens, key, table, join, bridge) for join in table.joins]
        except SchemaMismatch:
            continue  # its jobs say so
        found[config.table, key] = Reading(lens, key, config.table, sure=True)
        yield from joins
    alone = len(found) == 1 and kept.source == lens.config.source
    for reading in found.values():
        yield reading if alone else replace(reading, sure=False)


def _joined(
    lens: Lens, key: tuple[str, ...], table: LensTable, join: Join, bridge: Bridge
) -> Reading:
    on = tuple(theirs for _, theirs in join.on)
    known_by = bridge.table(join.table).key or on
    joined = Joined(join.name, table.selection(key, key), tells_gone=set(on) == set(known_by))
    return Reading(lens, known_by, join.table, sure=False, joined=joined)
