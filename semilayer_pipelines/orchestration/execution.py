"""Running a registry job inside a Dagster run.

Heavy modules (Polars, drivers, the store, the model) are imported here when a run starts, never
when definitions load.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import dagster as dg

from semilayer_pipelines.errors import Fenced, Refused, SemilayerError, UserError
from semilayer_pipelines.orchestration.reporting import Context, last_line, page_reporter
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, jobs, lenses
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.execute import Outcome

__all__ = ["execute", "failure", "job_for", "materialise_shard"]

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
) -> Job:
    """Return the job a run is for: the one it was launched for, or a row of its own.

    A run launched from the UI makes its row through the same function as everybody else, so the
    singleton rule holds for it too. Raises `NotFound`.
    """
    with project.registry.begin() as db:
        if job_id is not None:
            return jobs.get(db, job_id)
        lens = lenses.get(db, env, lens_name)
        requested = jobs.request(
            db,
            lens,
            mode,
            job_id=uuid4().hex,
            origin="dagster",
            now=project.clock(),
            shard=shard,
            confirmed=confirmed,
        )
        return requested.job


def execute(
    context: Context, project: Project, job: Job, *, shard: int | None = None, shards: int = 1
) -> Outcome:
    """Run the job and translate what happens to Dagster.

    Raises `dagster.Failure` with what failed and what to do next; nothing is retried by Dagster,
    because the registry decides about retries.
    """
    from semilayer_pipelines.ingest.execute import run_job

    try:
        outcome = run_job(
            project,
            job.id,
            run_id=context.run_id,
            shard=shard,
            report=page_reporter(context, job, shards),
        )
    except SemilayerError as error:
        context.log.error(str(error))
        raise failure(job, error) from None
    context.log.info(last_line(job, outcome))
    return outcome


def materialise_shard(
    context: Context, project: Project, env: str, lens_name: str, shard: int, shards: int
) -> Outcome:
    """Fill or repair one key range.

    Without an index, or during a rebuild, it is a shard of the full ingest; otherwise the range is
    compared with the active generation and brought in line. Raises `dagster.Failure` when the range
    is not done at the end, so that the partition is not shown as materialised.
    """
    from semilayer_pipelines.ingest.execute import Ended

    try:
        with project.registry.read() as db:
            lens = lenses.get(db, env, lens_name)
            filling = (
                generations.active(db, lens.id) is None
                or generations.building(db, lens.id) is not None
            )
        mode = Mode.FULL if filling else Mode.REPAIR
        job = job_for(project, env, lens_name, mode, shard=None if filling else shard)
        outcome = execute(context, project, job, shard=shard, shards=shards)
        while outcome.ended is Ended.TAKEN and _waits_for_a_sweep(project, job):
            context.log.info("Another sweep of this lens is running; waiting for it to end.")
            time.sleep(SWEEP_POLL_SECONDS)
            outcome = execute(context, project, job, shard=shard, shards=shards)
    except SemilayerError as error:
        raise failure(None, error) from None
    if outcome.ended in (Ended.COMPLETED, Ended.SHARE_DONE):
        return outcome
    why = "the lens was paused" if outcome.ended is Ended.PAUSED else "another run is at it"
    raise dg.Failure(
        description=f"Shard {shard} is not done: {why}. What was written stays.",
        allow_retries=False,
    )


def _waits_for_a_sweep(project: Project, job: Job) -> bool:
    with project.registry.read() as db:
        return job.mode is Mode.REPAIR and jobs.get(db, job.id).status is JobStatus.QUEUED


def failure(job: Job | None, error: SemilayerError) -> dg.Failure:
    """Return an error as Dagster shows it: what failed and what to do, without a traceback."""
    what = "lost its lease" if isinstance(error, Fenced) else type(error).__name__
    kind = "user" if isinstance(error, UserError | Refused) else "system"
    return dg.Failure(
        description=str(error),
        metadata={
            "error": what,
            "kind": kind,
            "what to do": error.cure or "see the log",
            "semilayer_job": job.id if job else "",
        },
        allow_retries=False,
    )
