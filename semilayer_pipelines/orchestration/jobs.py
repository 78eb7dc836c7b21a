"""The jobs of a project: one per mode. The configuration of a run names the lens."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import dagster as dg

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import ConfigError, SemilayerError
from semilayer_pipelines.orchestration.catalogue import LensEntry
from semilayer_pipelines.orchestration.dagster_run import execute, failure, is_filled, job_for
from semilayer_pipelines.orchestration.followed import log_walk
from semilayer_pipelines.orchestration.health import tell_health
from semilayer_pipelines.orchestration.names import BY_JOB_ID, JOB_NAMES
from semilayer_pipelines.orchestration.reporting import (
    log_materialisations,
    log_observation,
    log_published,
)
from semilayer_pipelines.orchestration.small_jobs import do_small_jobs
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.environments import DEFAULT_ENV
from semilayer_pipelines.registry.jobs import Job, Mode

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = ["LensRun", "lens_jobs"]

_DESCRIPTIONS = {
    Mode.FULL: "Reads every row of a lens into a new index and switches to it when it is complete.",
    Mode.INCREMENTAL: "Reads the rows changed since the cursor of a lens. Cannot see deletes.",
    Mode.RECORDS: "Applies the changes that callers pushed for a lens.",
    Mode.SMART_SYNC: "Compares the rows of a lens with its index, but for those that the source "
    "proves to be unchanged; embeds what changed and deletes what is gone.",
    Mode.REPAIR: "Brings one shard of a lens in sync with the source. By hand, materialise the "
    "shard's partition instead. A repair that broke off goes on as this job.",
}


@dataclass(frozen=True)
class LensRun:
    """Which lens a run is for; `lens` and `env` are those of the job where `job_id` is given."""

    lens: str
    env: str
    shard: int | None
    confirm_deletes: bool
    full_walk: bool
    job_id: str | None


def lens_jobs(entries: Iterable[LensEntry] = ()) -> list[dg.JobDefinition]:
    """Return the jobs that are launched by the sensor, or by hand with one of the lenses chosen."""
    config = _config(list(entries))
    return [_job(mode, text, config) for mode, text in _DESCRIPTIONS.items()]


def _config(entries: Sequence[LensEntry]) -> dict[str, dg.Field]:
    """Return what the configuration of a run may say; the Launchpad completes and checks it."""
    lens_names = sorted({entry.name for entry in entries})
    envs = sorted({entry.env for entry in entries} | {DEFAULT_ENV})
    return {
        "lens": dg.Field(
            _one_of("Lens", [*lens_names, BY_JOB_ID]),
            description="Name of the lens, as in sl.config.yaml.",
        ),
        "env": dg.Field(
            _one_of("Environment", envs),
            default_value=DEFAULT_ENV,
            description="Its environment.",
        ),
        "shard": dg.Field(
            dg.Noneable(int),
            default_value=None,
            description="For full ingest and repair: only this shard, counted from 0. Without it, "
            "a full ingest does all.",
        ),
        "confirm_deletes": dg.Field(
            bool,
            default_value=False,
            description="Let the run delete more rows than the lens's guard allows.",
        ),
        "full_walk": dg.Field(
            bool,
            default_value=False,
            description="For smart sync: read every row, though the source proves that it is "
            "unchanged.",
        ),
        "job_id": dg.Field(
            dg.Noneable(str),
            default_value=None,
            description=f"Set by the sensor: the job this run was launched for. `lens` is "
            f"{BY_JOB_ID!r} then.",
        ),
    }


def _one_of(name: str, values: Sequence[str]) -> dg.Enum:
    made = dg.Enum(name, [dg.EnumValue(value) for value in values])
    # Dagster keeps what has a key for the life of the process, and gives it out again for another
    # of the same key: the lenses of an earlier project, or those before a push.
    made.key = f"{name}.{crc32(json.dumps(values).encode()):08x}"
    return made


def _job(mode: Mode, description: str, config: dict[str, dg.Field]) -> dg.JobDefinition:
    name = JOB_NAMES[mode]

    @dg.op(name=f"run_{name}", description=description, config_schema=config)
    def run_lens(context: dg.OpExecutionContext, semilayer: dg.ResourceParam[Project]) -> None:
        asked = LensRun(**context.op_config)
        try:
            job = _job_row(semilayer, mode, asked)
            with semilayer.registry.read() as db:
                shards = lenses.by_id(db, job.lens_id).config.shards
        except SemilayerError as error:
            raise failure(None, error) from None
        shard = job.shard if mode is Mode.REPAIR else asked.shard
        outcome = execute(context, semilayer, job, shard=shard, shards=shards)
        _report(context, semilayer, job, outcome, shard, shards)
        if asked.job_id is not None:
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
        log_materialisations(context, project, job, outcome, shard, shards)
    elif outcome.counts != Counts():
        log_observation(context, project, job, outcome)
    log_published(context, job.env, job.lens, outcome)
    log_walk(context, project, job, outcome)
    tell_health(context.instance, project, job.env, job.lens)


def _job_row(project: Project, mode: Mode, config: LensRun) -> Job:
    if config.job_id is None and config.lens == BY_JOB_ID:
        raise ConfigError(
            "No lens is named, and no job.", cure="Give `lens` the name of one, or give `job_id`."
        )
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
        full_walk=config.full_walk,
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
