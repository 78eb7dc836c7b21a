"""Keeping the project small: retired generations, and history that nobody needs any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from semilayer_pipelines.ingest.kept_rows import tidy_kept
from semilayer_pipelines.ingest.left_batches import drop_left_over
from semilayer_pipelines.ingest.publish import announce
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import (
    changes,
    dropped_indexes,
    environments,
    generations,
    jobs,
    lenses,
    retention,
    walks,
)
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.retention import Swept
from semilayer_pipelines.stores.protocol import Store

__all__ = ["KEEP_RETIRED", "Tidied", "drop_retired", "tidy"]

KEEP_RETIRED = timedelta(hours=1)
"""How long a generation is kept after another took its place: searches under way end in it,
and `semilayer rollback` goes back to it."""

JOBS_KEPT = timedelta(days=30)
"""Jobs that ended longer ago are forgotten."""

PAGES_KEPT = timedelta(days=7)
"""Entries of the page log that are older are forgotten."""

CHANGES_KEPT = timedelta(hours=24)
"""Applied changes that are older are forgotten; they keep an older read from overwriting a newer
one, so they outlast any walk of a table."""


@dataclass(frozen=True)
class Tidied:
    """What was removed: history in the registry, and indexes by name."""

    history: Swept
    indexes: tuple[str, ...]


def tidy(project: Project) -> Tidied:
    """Drop what is orphaned or was retired longer than `KEEP_RETIRED` ago; forget old history."""
    now = project.clock()
    swept = retention.sweep(
        project.registry,
        now,
        jobs_older_than=JOBS_KEPT,
        pages_older_than=PAGES_KEPT,
        changes_older_than=CHANGES_KEPT,
    )
    dropped = drop_retired(project.registry, project.store, now)
    dropped += _drop_removed(project.registry, project.store, now)
    dropped += _drop_orphans(project)
    _point_names(project)
    drop_left_over(project)
    _give_back_lost(project)
    with project.registry.read() as db:
        needed = walks.kept_names(db)
    tidy_kept(project.settings.walks, needed)
    return Tidied(swept, tuple(dropped))


def _give_back_lost(project: Project) -> None:
    """Give back what jobs claimed that are over, and have it applied (invariant 7)."""
    with project.registry.begin() as db:
        for lens_id in sorted(changes.release_lost(db)):
            jobs.request(
                db,
                lenses.by_id(db, lens_id),
                Mode.RECORDS,
                job_id=uuid4().hex,
                origin="retention",
                now=project.clock(),
            )


def _point_names(project: Project) -> None:
    """Let every lens's name in the store lead to its active index, whatever a killed run left."""
    with project.registry.read() as db:
        active = [(lens, generations.active(db, lens.id)) for lens in lenses.list_all(db)]
    for lens, generation in active:
        if generation is not None:
            announce(project.store(lens.env), lens, generation)


def drop_retired(
    registry: Registry,
    store: Callable[[str], Store],
    now: datetime,
    *,
    lens_id: int | None = None,
) -> list[str]:
    """Drop the generations, of one lens or of all, retired longer than `KEEP_RETIRED` ago.

    `store` gives the store of an environment. Returns the names of the dropped indexes.
    """
    with registry.read() as db:
        late = [
            (lenses.by_id(db, generation.lens_id).env, generation)
            for generation in generations.retired_before(db, now - KEEP_RETIRED)
            if lens_id in (None, generation.lens_id)
        ]
    for env, generation in late:
        # The index first: a crash in between leaves a row to try again, not an orphaned index.
        store(env).drop(generation.index_name)
        with registry.begin() as db:
            generations.forget(db, generation.id)
    return [generation.index_name for _, generation in late]


def _drop_removed(registry: Registry, store: Callable[[str], Store], now: datetime) -> list[str]:
    """Drop the indexes of lenses that a push removed, once no run of theirs can write any more."""
    with registry.read() as db:
        late = dropped_indexes.before(db, now - KEEP_RETIRED)
    for env, name in late:
        store(env).drop(name)
        with registry.begin() as db:
            dropped_indexes.forget(db, name)
    return [name for _, name in late]


def _drop_orphans(project: Project) -> list[str]:
    """Drop the indexes that were generations of a lens and are none any more.

    They are left by a run that was killed, or made its index when the generation was gone. Indexes
    that the registry never gave a name to stay: whoever connects an empty registry to a full store
    must not lose it.
    """
    with project.registry.read() as db:
        envs = [env.slug for env in environments.list_all(db)]
    dropped = []
    for env in envs:
        store = project.store(env)
        names = store.names()
        with project.registry.read() as db:
            orphans = generations.forgotten(db, env, names)
        for name in orphans:
            store.drop(name)
        dropped += orphans
    return dropped
