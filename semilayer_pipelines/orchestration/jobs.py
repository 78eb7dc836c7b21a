"""The jobs of a project: one a mode, the lens chosen in the run's configuration."""

import dagster as dg
from pydantic import Field

from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.orchestration.execution import execute, failure, job_for
from semilayer_pipelines.orchestration.names import JOB_NAMES
from semilayer_pipelines.orchestration.reporting import log_materialisations, log_published
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.jobs import Mode

__all__ = ["LensRun", "lens_jobs"]

_DESCRIPTIONS = {
    Mode.FULL: "Reads every row of a lens into a new index and switches to it when it is complete.",
    Mode.INCREMENTAL: "Reads the rows changed since the cursor of a lens. Cannot see deletes.",
    Mode.RECORDS: "Applies the changes that callers pushed for a lens.",
    Mode.SMART_SYNC: "Compares every row of a lens with its index; embeds what changed and deletes "
    "what is gone.",
}


class LensRun(dg.Config):
    """Which lens a run is for."""

    lens: str = Field(description="Name of the lens, as in sl.config.yaml.")
    env: str = Field(default="development", description="Its environment.")
    shard: int | None = Field(
        default=None, description="Only this shard of a full ingest, counted from 0; all if empty."
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
    def run_lens(context: dg.OpExecutionContext, config: LensRun) -> None:
        project = Project.here()
        try:
            job = job_for(
                project,
                config.env,
                config.lens,
                mode,
                job_id=config.job_id,
                confirmed=config.confirm_deletes,
            )
            with project.registry.read() as db:
                shards = lenses.by_id(db, job.lens_id).config.shards
        except SemilayerError as error:
            raise failure(None, error) from None
        outcome = execute(context, project, job, shard=config.shard, shards=shards)
        if mode is Mode.FULL and (outcome.published or config.shard is not None):
            log_materialisations(context, job, outcome, config.shard, shards)
        log_published(context, job.env, job.lens, outcome)

    @dg.job(name=name, description=description, executor_def=dg.in_process_executor)
    def lens_job() -> None:
        run_lens()

    return lens_job
