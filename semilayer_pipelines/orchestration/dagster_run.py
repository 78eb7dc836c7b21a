"""Running a registry job inside a Dagster run.

The engine (drivers, the store, the model) is imported here when a run starts, never when
definitions load.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

import dagster as dg

from semilayer_pipelines.errors import Fenced, Refused, SemilayerError, UserError
from semilayer_pipelines.orchestration.health import tell_health
from semilayer_pipelines.orchestration.names import TAG_JOB_ID, job_tags
from semilayer_pipelines.orchestration.reporting import Context, OnAsset, last_line, page_reporter
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.state import AS_IT_WAS_BUILT
from semilayer_pipelines.quick_imports import without_collector
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import generations, jobs, lenses, shards
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus, Needs
from semilayer_pipelines.registry.shards import ShardStatus

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.progress import PageDone
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = [
    "execute",
    "failure",
    "is_filled",
    "job_for",
    "materialise_shard",
    "perform",
    "was_cancelled",
]

SWEEP_POLL_SECONDS = 2.0


def job_for(
    project: Project,
    env: str,
    lens_name: str,
    mode: Mode,
    *,
    job_id: str | None = None,
    shard: int | None = None,
    confirmed: bool = False,
    full_walk: bool = False,
) -> Job:
    """Return the job a run is for: the one it was launched for, or a row of its own.

    A run launched from the UI gets its row from the same function as all others, so the singleton
    rule holds for it too. A full ingest also resumes the lens. Raises `NotFound`.
    """
    with project.registry.begin() as db:
        if job_id is not None:
            return jobs.get(db, job_id)
        lens = lenses.get(db, env, lens_name)
        if mode is Mode.FULL:
            lenses.set_status(db, lens.id, LensStatus.INDEXING, now=project.clock())
        requested = jobs.request(
            db,
            lens,
            mode,
            job_id=uuid4().hex,
            origin="dagster",
            now=project.clock(),
            shard=shard,
            confirmed=confirmed,
            full_walk=full_walk,
        )
        return requested.job


def execute(
    context: Context,
    project: Project,
    job: Job,
    *,
    shard: int | None = None,
    shards: int = 1,
    waits: bool = False,
) -> Outcome:
    """Run the job that this run is for; raises as `perform`.

    A repair that `waits` does so while another sync of its lens is at work.
    """
    from semilayer_pipelines.ingest.run_job import RunEnd

    if context.run.tags.get(TAG_JOB_ID) != job.id:
        # Launched from the UI: the queue's limits and the sensor use the tags of a run.
        context.instance.add_run_tags(context.run.run_id, job_tags(job, shard))
    told = False
    while True:
        outcome = perform(
            context, project, job, shard, shards, cancelled=lambda: was_cancelled(context)
        )
        if not (waits and outcome.ended is RunEnd.TAKEN and _waits_for_a_sweep(project, job)):
            break
        if not told:  # Once: it may take hours, and Dagster keeps every line.
            context.log.info("Another sync of this lens is running; waiting for it to end.")
            told = True
        _wait(context, project, job)
    context.log.info(last_line(job, outcome))
    return outcome


def perform(
    context: Context,
    project: Project,
    job: Job,
    shard: int | None,
    shards: int,
    *,
    cancelled: Callable[[], bool],
    taken: Callable[[Job], None] = lambda _: None,
) -> Outcome:
    """Run a job and translate what happens to Dagster; `cancelled` and `taken` are `run_job`'s.

    Raises `dagster.Failure` with what failed and what to do next; nothing is retried by Dagster,
    because the registry decides about retries.
    """
    with without_collector():
        from semilayer_pipelines.ingest.run_job import run_job

    on_asset = OnAsset(context, job, job.shard if shard is None else shard, shards)
    tell_page = page_reporter(context, job, shards)

    def begin(job: Job) -> None:
        taken(job)
        _tell_of_rebuild(context, project, job)
        if job.mode is not Mode.RECORDS:
            on_asset.show()

    def report(done: PageDone) -> None:
        tell_page(done)
        # The event takes longer than the change of a caller who waits for it to be found.
        on_asset.show()

    try:
        return run_job(
            project,
            job.id,
            run_id=context.run.run_id,
            shard=shard,
            report=report,
            was_cancelled=cancelled,
            taken=begin,
        )
    except SemilayerError as error:
        if error.__cause__ is not None:
            # A fault of ours, which nobody can mend without the traceback.
            story = "".join(traceback.format_exception(error.__cause__))
            context.log.error(redact(story))
        on_asset.show()
        tell_health(context.instance, project, job.env, job.lens)
        raise failure(job, error) from None


def _tell_of_rebuild(context: Context, project: Project, job: Job) -> None:
    with project.registry.read() as db:
        needs = lenses.by_id(db, job.lens_id).needs
    if needs is Needs.REBUILD and job.mode is not Mode.FULL:
        cure = f"semilayer resume --lens {job.lens}"
        context.log.warning(f"{job.lens}: {AS_IT_WAS_BUILT} {cure}")


def materialise_shard(
    context: Context, project: Project, env: str, lens_name: str, shard: int, shards: int
) -> tuple[Job, Outcome]:
    """Fill or repair one key range; return the job that did it, and what it did.

    Without an index, or during a rebuild, it is a shard of the full ingest. Otherwise the range is
    compared with the active generation and brought in sync. Raises `dagster.Failure` when the range
    is not done at the end, so that the partition is not shown as materialised.
    """
    from semilayer_pipelines.ingest.run_job import RunEnd

    try:
        with project.registry.read() as db:
            lens = lenses.get(db, env, lens_name)
            filling = (
                generations.active(db, lens.id) is None
                or generations.building(db, lens.id) is not None
            )
        mode = Mode.FULL if filling else Mode.REPAIR
        job = job_for(project, env, lens_name, mode, shard=None if filling else shard)
        outcome = execute(context, project, job, shard=shard, shards=shards, waits=True)
        if outcome.ended is RunEnd.COMPLETED or (filling and is_filled(project, lens.id, shard)):
            return job, outcome
    except SemilayerError as error:
        raise failure(None, error) from None
    why = {
        RunEnd.PAUSED: "the lens was paused",
        RunEnd.WAITING: "the provider embeds its texts in batches, and its job goes on then",
    }.get(outcome.ended, "another run is at it")
    raise dg.Failure(
        description=f"Shard {shard} is not done: {why}. What was written stays.",
        allow_retries=False,
    )


def is_filled(project: Project, lens_id: int, shard: int) -> bool:
    """Say whether a shard of the lens's latest generation is filled.

    A shard that the generation does not have (the table has fewer keys) has nothing to fill.
    """
    with project.registry.read() as db:
        building = generations.building(db, lens_id)
        if building is None:
            return generations.active(db, lens_id) is not None
        left = [s.number for s in shards.list_all(db, building.id) if s.status != ShardStatus.DONE]
        return shard not in left


def _wait(context: Context, project: Project, job: Job) -> None:
    try:
        time.sleep(SWEEP_POLL_SECONDS)
    except BaseException:
        # Dagster's interrupt is no Exception. Left queued, the job would be launched again.
        if was_cancelled(context):
            with project.registry.begin() as db:
                jobs.cancel(db, job.id, project.clock())
        raise


def was_cancelled(context: Context) -> bool:
    """Say whether a person cancelled this run; otherwise it is interrupted by a shutdown."""
    run = context.instance.get_run_by_id(context.run.run_id)
    return run is not None and run.status in (
        dg.DagsterRunStatus.CANCELING,
        dg.DagsterRunStatus.CANCELED,
    )


def _waits_for_a_sweep(project: Project, job: Job) -> bool:
    with project.registry.read() as db:
        return job.mode is Mode.REPAIR and jobs.get(db, job.id).status is JobStatus.QUEUED


def failure(job: Job | None, error: SemilayerError) -> dg.Failure:
    """Return an error as Dagster shows it: what failed and what to do, without a traceback."""
    what = "lost its lease" if isinstance(error, Fenced) else type(error).__name__
    kind = "user" if isinstance(error, UserError | Refused) else "system"
    return dg.Failure(
        description=redact(str(error)),
        metadata={
            "error": what,
            "kind": kind,
            "what to do": redact(error.cure) or "see the log",
            "semilayer_job": job.id if job else "",
        },
        allow_retries=False,
    )
