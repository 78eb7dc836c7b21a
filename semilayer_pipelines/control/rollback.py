"""Going back to the index that a rebuild replaced, while it is kept.

One transaction in the registry switches back; a smart sync then brings the older index in sync with
what changed meanwhile. The index that was in use is kept for as long as any replaced one, so that a
rollback can be taken back by another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection

from semilayer_pipelines.control.check import lens_check
from semilayer_pipelines.errors import Refused
from semilayer_pipelines.ingest.publish import announce, begin_walks, locked
from semilayer_pipelines.ingest.retention import KEEP_RETIRED
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, jobs, lenses, sources
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import Lens, Needs

__all__ = ["RolledBack", "index_before", "lenses_with_an_earlier_index", "rollback"]

MARGIN = timedelta(minutes=1)
"""An index that is about to be dropped is not gone back to."""


@dataclass(frozen=True)
class RolledBack:
    """What was done: the generation in use before, the one in use now, the sync that follows.

    `needs` is what the lens still needs after that sync: a rebuild, when its configuration is not
    the one that the older index was built with. `rebuild` is one that waits or runs, and will take
    the older index's place when it is done.
    """

    before: Generation
    now: Generation
    sync: Job
    needs: Needs
    kept_until: datetime
    rebuild: Job | None


def lenses_with_an_earlier_index(db: Connection, env: str, now: datetime) -> set[int]:
    """Return the ids of the lenses that can go back, as far as the registry knows; one query."""
    return generations.replaced_since(db, env, _oldest(now))


def index_before(project: Project, env: str, name: str) -> tuple[Lens, Generation, Generation]:
    """Return a lens, the generation in use, and the one that a rollback would go back to.

    Raises `NotFound`, and `Refused` when none is kept (any more).
    """
    with project.registry.read() as db:
        lens = lenses.get(db, env, name)
        active = generations.active(db, lens.id)
        kept = generations.retired(db, lens.id)
    previous = _kept(project, lens, kept)
    if active is None or previous is None:
        raise Refused(
            "No earlier index of it is kept.",
            cure=f"A replaced index is kept for {KEEP_RETIRED.seconds // 60} minutes. "
            "`semilayer push --rebuild` makes a new one.",
            lens=name,
        )
    return lens, active, previous


def rollback(project: Project, env: str, name: str) -> RolledBack:
    """Let the newest replaced generation of a lens serve again, and ask for a smart sync of it.

    Raises `NotFound`, `Refused` when none is kept (any more) or the lens is being switched at this
    moment, and what the source raises.
    """
    lens, active, previous = index_before(project, env, name)
    needs = _needs(project, lens, previous)
    # Held, so that whoever writes to the index in use is done, and next finds it switched.
    with locked(project.store(env), active), project.registry.begin(durable=True) as db:
        now = project.clock()
        generations.reinstate(
            db,
            previous.id,
            instead_of=active.id,
            retired_after=now - KEEP_RETIRED + MARGIN,
            now=now,
        )
        lenses.set_needs(db, lens.id, needs, now)
        # What came since may be only in the index that is left.
        followed = in_force(db, lenses.by_id(db, lens.id)).config.followed
        begin_walks(db, previous, followed=followed, now=now)
        asked = jobs.request(
            db,
            lens,
            Mode.SMART_SYNC,
            job_id=uuid4().hex,
            origin="rollback",
            now=now,
        )
        current = generations.active(db, lens.id)
        rebuild = _rebuild(db, lens)
    assert current is not None
    announce(project.store(env), lens, current)
    left = Needs.REBUILD if needs is Needs.REBUILD else Needs.NOTHING
    return RolledBack(active, current, asked.job, left, now + KEEP_RETIRED, rebuild)


def _rebuild(db: Connection, lens: Lens) -> Job | None:
    going_on = (*jobs.running(db, lens.id), *jobs.queued(db, lens.id))
    return next((job for job in going_on if job.mode is Mode.FULL), None)


def _kept(project: Project, lens: Lens, retired: list[Generation]) -> Generation | None:
    store, oldest = project.store(lens.env), _oldest(project.clock())
    for generation in reversed(retired):
        if (
            generation.published_at is not None
            and generation.retired_at is not None
            and generation.retired_at > oldest
            and store.exists(generation.index_name)
        ):
            return generation
    return None


def _oldest(now: datetime) -> datetime:
    """Return when an index that is gone back to was replaced at the earliest."""
    return now - KEEP_RETIRED + MARGIN


def _needs(project: Project, lens: Lens, previous: Generation) -> Needs:
    """Return what brings the older index in sync: a sync at least, for what changed meanwhile."""
    with project.registry.read() as db:
        known = sources.list_all(db, lens.env_id)
    with lens_check(project, lens.env, known) as check:
        needs = check.needs(lens.config, previous, moved=False)
    return Needs.SMART_SYNC if needs is Needs.NOTHING else needs
