"""What a person does to a lens: resume, pause, sync.

Each is one transaction in the registry that makes at most one job; runs read the rest between
pages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import uuid4

from sqlalchemy import Connection

from semilayer_pipelines.errors import Refused
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.state import require_syncable
from semilayer_pipelines.registry import changes, cursors, failed_rows, generations, jobs, lenses
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.in_force import in_force
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import Lens, LensStatus, Needs

__all__ = [
    "Resumed",
    "catch_up",
    "cheapest_mode",
    "pause",
    "request_heal",
    "request_rebuild",
    "request_sync",
    "resume",
    "retry_failed",
]


@dataclass(frozen=True)
class Resumed:
    """A lens that goes on, and the job that does it (`None`: it only waits for changes again).

    `held`: what was queued while it was paused, and goes on too.
    """

    lens: Lens
    job: Job | None
    held: tuple[Job, ...] = ()


def resume(project: Project, env: str, name: str, *, confirmed: bool = False) -> Resumed:
    """Let a paused lens go on, or try again what failed.

    The first ingest, an unfinished rebuild and a needed one are full; a changed mapping is brought
    in by smart sync; what failed last is done again. Raises `NotFound`.
    """
    now = project.clock()
    with project.registry.begin(durable=True) as db:
        lens = lenses.get(db, env, name)
        mode = _what_is_left(db, lens)
        status = LensStatus.INDEXING if mode is Mode.FULL else LensStatus.READY
        lenses.set_status(db, lens.id, status, now=now)
        lens = lenses.get(db, env, name)
        for one in jobs.queued(db, lens.id):
            if one.failing:
                jobs.hasten(db, one.id, now)
        held = tuple(jobs.queued(db, lens.id))
        if mode is None:
            return Resumed(lens, None, held)
        job = _request(db, project, lens, mode, "resume", confirmed)
        return Resumed(lens, job, tuple(one for one in held if one.id != job.id))


def catch_up(project: Project, env: str, name: str) -> Resumed:
    """Let a lens go on and, where nothing is left to be done, read what changed since the cursor.

    That is what mode `incremental` of the webhook does. A lens without a column that tells what
    changed only goes on. Raises `NotFound`.
    """
    resumed = resume(project, env, name)
    if resumed.job or resumed.held:
        return resumed
    with project.registry.begin(durable=True) as db:
        lens = require_syncable(db, env, name)
        if cheapest_mode(db, lens) is not Mode.INCREMENTAL:
            return resumed
        job = _request(db, project, lens, Mode.INCREMENTAL, "push", confirmed=False)
    return replace(resumed, job=job)


def cheapest_mode(db: Connection, lens: Lens) -> Mode:
    """Return the mode that sees a change of the lens's table and reads least.

    That is incremental where a column tells what changed, and smart sync anywhere else.
    """
    at, current = cursors.get(db, lens.id), in_force(db, lens)
    followed = current.tracked != "" and at is not None and at.position is not None
    named = bool(current.config.change_tracking_column)
    return Mode.INCREMENTAL if followed or named else Mode.SMART_SYNC


def pause(project: Project, env: str, name: str) -> Lens:
    """Pause a lens: a run stops after the page it is at and keeps its place. Raises `NotFound`."""
    with project.registry.begin(durable=True) as db:
        lens = lenses.get(db, env, name)
        lenses.set_status(db, lens.id, LensStatus.PAUSED, now=project.clock())
        return lenses.get(db, env, name)


def request_sync(
    project: Project,
    env: str,
    name: str,
    *,
    confirmed: bool = False,
    full_walk: bool = False,
    origin: str = "cli",
) -> Job:
    """Ask for a smart sync, one that reads every row with `full_walk`.

    Raises `NotFound`, and `Refused` while the lens is paused or empty.
    """
    with project.registry.begin(durable=True) as db:
        lens = require_syncable(db, env, name)
        return _request(db, project, lens, Mode.SMART_SYNC, origin, confirmed, full_walk=full_walk)


def request_rebuild(
    project: Project, env: str, name: str, *, confirmed: bool = False, origin: str = "cli"
) -> Job:
    """Ask for a full ingest into a new generation. Raises `NotFound`."""
    with project.registry.begin(durable=True) as db:
        lens = lenses.get(db, env, name)
        lenses.set_status(db, lens.id, LensStatus.INDEXING, now=project.clock())
        return _request(db, project, lens, Mode.FULL, origin, confirmed)


def request_heal(
    project: Project, env: str, name: str, *, rebuild: bool, confirmed: bool = False
) -> Job:
    """Ask for what brings an index in sync: a smart sync or, where it takes that, a rebuild.

    Raises `NotFound`, and `Refused` while the lens is paused.
    """
    with project.registry.read() as db:
        lens = lenses.get(db, env, name)
    if lens.status is LensStatus.PAUSED:
        raise Refused(
            "It is paused, so nothing is brought in sync.",
            cure=f"`semilayer resume --lens {name}`",
            lens=name,
        )
    ask = request_rebuild if rebuild else request_sync
    return ask(project, env, name, confirmed=confirmed, origin="verify")


def retry_failed(project: Project, env: str, name: str) -> Job | None:
    """Ask for the rows that were set aside to be tried again; `None` when there are none.

    They go the way of rows that a caller names. A paused lens does it when it is resumed. Raises
    `NotFound`.
    """
    now = project.clock()
    with project.registry.begin(durable=True) as db:
        lens = lenses.get(db, env, name)
        failed = failed_rows.keys(db, lens.id, failed_rows.KEPT)
        if not failed:
            return None
        changes.append(db, lens.id, [(key, Action.UPSERT) for key in failed], now)
        return _request(db, project, lens, Mode.RECORDS, "retry", confirmed=False)


def _what_is_left(db: Connection, lens: Lens) -> Mode | None:
    unfinished = generations.building(db, lens.id) is not None
    if unfinished or lens.needs is Needs.REBUILD or generations.active(db, lens.id) is None:
        return Mode.FULL
    if lens.needs is Needs.SMART_SYNC:
        return Mode.SMART_SYNC
    failing = [job for job in jobs.queued(db, lens.id) if job.failing]
    if failing:
        return _whole(failing[0].mode)
    done = jobs.recent(db, lens_id=lens.id)
    if lens.status is LensStatus.ERROR:
        # Jobs of another kind may have gone through since; what failed is still to be done.
        done = [job for job in done if job.status is JobStatus.FAILED]
    last = next(iter(done), None)
    again = {JobStatus.FAILED, JobStatus.CANCELED}
    if last is None or last.status not in again:
        return None
    return _whole(last.mode)


def _whole(mode: Mode) -> Mode:
    return Mode.SMART_SYNC if mode is Mode.REPAIR else mode


def _request(
    db: Connection,
    project: Project,
    lens: Lens,
    mode: Mode,
    origin: str,
    confirmed: bool,
    *,
    full_walk: bool = False,
) -> Job:
    now = project.clock()
    asked = jobs.request(
        db,
        lens,
        mode,
        job_id=uuid4().hex,
        origin=origin,
        now=now,
        confirmed=confirmed,
        full_walk=full_walk,
    )
    if not asked.deduplicated:
        return asked.job
    jobs.hasten(db, asked.job.id, now)
    return jobs.get(db, asked.job.id)
