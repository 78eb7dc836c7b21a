"""The jobs of a project: one per mode. The configuration of a run names the lens."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import ConfigError, SemilayerError
from semilayer_pipelines.orchestration.dagster_run import execute, failure, is_filled, job_for
from semilayer_pipelines.orchestration.followed import log_walk
from semilayer_pipelines.orchestration.names import JOB_NAMES
from semilayer_pipelines.orchestration.reporting import (
    log_materialisations,
    log_observation,
    log_published,
)
from semilayer_pipelines.orchestration.small_jobs import do_small_jobs
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.jobs import Job, Mode

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = ["LensRun", "lens_jobs"]

_DESCRIPTIONS = {
    Mode.FULL: "Reads every row of a lens into a new index and switches to it when it is complete.",
    Mode.INCREMENTAL: "Reads the rows changed since the cursor of a lens. Cannot see deletes.",
    Mode.RECORDS: "Applies the changes that callers pushed for a lens.",
    Mode.SMART_SYNC: "Compares every row of a lens with its index; embeds what changed and deletes "
    "what is gone.",
    Mode.REPAIR: "Brings one shard of a lens in sync with the source. By hand, materialise the "
    "shard's partition instead. A repair that broke off goes on as this job.",
}


class LensRun(dg.Config):
    """Which lens a run is for."""

    lens: str = Field(description="Name of the lens, as in sl.config.yaml.")
    env: str = Field(default="development", description="Its environment.")
    shard: int | None = Field(
        default=None,
        description="For full ingest and repair: only this shard, counted from 0. Without it, a "
        "full ingest does all.",
    )
    confirm_deletes: bool = Field(
        default=False, description="Let the run delete more rows than the lens's guard allows."
    )
    job_id: str | None = Field(
        default=None, description="Set by the sensor: the job this run was launched for."
    )


def lens_jobs() -> list[dg.JobDefinition]:
    """Return the jobs that are launched by the sensor, or by hand with a lens chosen."""
    return [_job(mode, text) for mode, text in _DESCRIPTIONS.items()]


def _job(mode: Mode, description: str) -> dg.JobDefinition:
    name = JOB_NAMES[mode]

    @dg.op(name=f"run_{name}", description=description)
    def run_lens(
        context: dg.OpExecutionContext, config: LensRun, semilayer: dg.ResourceParam[Project]
    ) -> None:
        try:
            job = _job_row(semilayer, mode, config)
            with semilayer.registry.read() as db:
                shards = lenses.by_id(db, job.lens_id).config.shards
        except SemilayerError as error:
            raise failure(None, error) from None
        shard = job.shard if mode is Mode.REPAIR else config.shard
        outcome = execute(context, semilayer, job, shard=shard, shards=shards)
        _report(context, semilayer, job, outcome, shard, shards)
        if config.job_id is not None:
            # A person who launched a run waits for what they asked for, and nothing else.
            for other, done, of_shards in do_small_jobs(context, semilayer, job, outcome):
                _report(context, semilayer, other, done, None, of_shards)

    @dg.job(name=name, description=description, executor_def=dg.in_process_executor)
    def lens_job() -> None:
        run_lens()

    return lens_job


def _report(
    context: dg.OpExecutionContext,
    project: Project,
    job: Job,
    outcome: "Outcome",
    shard: int | None,
    shards: int,
) -> None:
    """Record in Dagster what a job did."""
    if _materialised(project, job, outcome, shard):
        log_materialisations(context, job, outcome, shard, shards)
    elif outcome.counts != Counts():
        log_observation(context, job, outcome)
    log_published(context, job.env, job.lens, outcome)
    with project.registry.read() as db:
        lens = lenses.by_id(db, job.lens_id)
    log_walk(context, job, outcome, lens)


def _job_row(project: Project, mode: Mode, config: LensRun) -> Job:
    if mode is Mode.REPAIR and config.shard is None and config.job_id is None:
        raise ConfigError(
            "A repair is of one shard, and none is named.",
            cure="Give `shard`, or launch smart_sync for the whole lens.",
        )
    return job_for(
        project,
        config.env,
        config.lens,
        mode,
        job_id=config.job_id,
        shard=config.shard if mode is Mode.REPAIR else None,
        confirmed=config.confirm_deletes,
    )


def _materialised(project: Project, job: Job, outcome: "Outcome", shard: int | None) -> bool:
    """Say whether the run's shard is filled; for a run of all shards, whether all are."""
    from semilayer_pipelines.ingest.run_job import RunEnd

    match job.mode, outcome.ended:
        case Mode.FULL, (RunEnd.COMPLETED | RunEnd.SHARE_DONE):
            return outcome.published if shard is None else is_filled(project, job.lens_id, shard)
        case Mode.REPAIR, RunEnd.COMPLETED:
            return True
        case _:
            return False
