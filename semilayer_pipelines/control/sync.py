"""Ingest from a person's own program: ask for a job, or bring a lens in sync in this process.

Dagster is not needed. Where it runs beside, a job is still done once: by whoever takes it first.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import ConfigError, Refused, nearest
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import Outcome, run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.state import require_syncable
from semilayer_pipelines.registry import generations, jobs, lenses
from semilayer_pipelines.registry.jobs import Job, Mode

__all__ = ["request_job", "sync"]

ORIGIN = "python"

_ASKED_FOR = [mode.value for mode in Mode if mode is not Mode.REPAIR]


def sync(
    project: Project,
    lens: str,
    *,
    env: str | None = None,
    confirm_deletes: bool = False,
    full_walk: bool = False,
    report: Callable[[PageDone], None] = lambda _: None,
) -> Outcome:
    """Bring the index of a lens in sync with its table, here and now; return how that ended.

    A lens without an index gets its first one (full ingest). Otherwise it is compared with the
    index, what changed is embedded and what is gone is deleted (smart sync). `env` is the
    environment, by default the project's. `confirm_deletes` passes the lens's guard. With
    `full_walk` every row is read, whatever the source proves. `report` is called after every page.

    Raises `NotFound`, `Refused` while the lens is paused, and what `run_job` raises; a call after
    that goes on where the last one stopped. `Outcome.ended` is `TAKEN` when another run is at it.
    """
    env = env or project.settings.env
    with project.registry.read() as db:
        indexed = generations.active(db, lenses.get(db, env, lens).id) is not None
    mode = Mode.SMART_SYNC if indexed else Mode.FULL
    job = request_job(
        project, lens, mode, env=env, confirm_deletes=confirm_deletes, full_walk=full_walk
    )
    return run_job(project, job.id, report=report)


def request_job(
    project: Project,
    lens: str,
    mode: Mode,
    *,
    env: str | None = None,
    confirm_deletes: bool = False,
    full_walk: bool = False,
) -> Job:
    """Ask for an ingest of a lens; `run_job` does it, or Dagster within seconds.

    A full ingest builds a new index, and lets a paused lens go on. All other modes need a lens that
    has an index and is not paused. Returns the job that waits already, where there is one. Raises
    `NotFound`, `ConfigError` for what is no mode, and `Refused` for what cannot be done now.
    """
    if mode not in list(Mode):
        raise ConfigError(
            f"There is no mode {mode!r}{nearest(str(mode), _ASKED_FOR)}.",
            cure=f"Modes: {', '.join(_ASKED_FOR)}.",
            lens=lens,
        )
    env = env or project.settings.env
    match mode:
        case Mode.FULL:
            ask = lifecycle.request_rebuild
            return ask(project, env, lens, confirmed=confirm_deletes, origin=ORIGIN)
        case Mode.SMART_SYNC:
            return lifecycle.request_sync(
                project,
                env,
                lens,
                confirmed=confirm_deletes,
                full_walk=full_walk,
                origin=ORIGIN,
            )
        case Mode.REPAIR:
            raise Refused(
                "A repair is of one shard, and is asked for in Dagster: materialise its partition.",
                cure="Ask for Mode.SMART_SYNC, which does the whole lens.",
                lens=lens,
            )
    with project.registry.begin(durable=True) as db:
        return jobs.request(
            db,
            require_syncable(db, env, lens),
            mode,
            job_id=uuid4().hex,
            origin=ORIGIN,
            now=project.clock(),
        ).job
