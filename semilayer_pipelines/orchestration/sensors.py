"""The one sensor: turns due jobs into runs, and looks after runs that fell silent.

Its body asks the registry and does no work of its own. A launch is named after the job and its
attempt, so however often a tick repeats itself there is one run for each.
"""

from datetime import timedelta

import dagster as dg

from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.orchestration.names import JOB_NAMES, TAG_JOB_ID, job_tags
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, generations, jobs, lenses, shards
from semilayer_pipelines.registry.jobs import Job, JobStatus, Mode
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.registry.shards import ShardStatus

__all__ = ["due_jobs_sensor"]

MAX_LAUNCHES = 50
"""Runs launched by one tick; the rest follow five seconds later."""

SILENCE = timedelta(seconds=45)
"""A running job whose heartbeat is older has lost its process; nine missed beats."""

LAUNCH_LOST = timedelta(minutes=2)
"""A due job whose run neither exists nor took it after this long is launched again."""

MAX_ATTEMPTS = 3

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def due_jobs_sensor(targets: list[dg.JobDefinition]) -> dg.SensorDefinition:
    """Return the sensor; `targets` are the jobs that it may launch."""

    @dg.sensor(
        name="due_jobs",
        description="Launches the jobs that are due in the registry, and takes care of runs whose "
        "process is gone.",
        jobs=targets,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def due_jobs(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        project = Project.here()
        try:
            _recover(context.instance, project)
            with project.registry.read() as db:
                due = jobs.due(db, project.clock(), limit=MAX_LAUNCHES)
        except RegistryUnavailable as error:
            return dg.SkipReason(str(error))
        if not due:
            return dg.SkipReason("No job is due.")
        requests = [request for job in due for request in _requests(context.instance, project, job)]
        return dg.SensorResult(run_requests=requests)

    return due_jobs


def _requests(instance: dg.DagsterInstance, project: Project, job: Job) -> list[dg.RunRequest]:
    """Return the launches of a job: one, or for a full ingest one a shard that is not filled."""
    waited = project.clock() - (job.due_at or job.created_at)
    if waited > LAUNCH_LOST and not _in_flight(instance, job):
        with project.registry.begin() as db:
            job = jobs.relaunch(db, job.id, project.clock())
    numbers: list[int | None] = (
        list(_open_shards(project, job)) if job.mode is Mode.FULL else [None]
    )
    return [_request(job, number) for number in numbers]


def _request(job: Job, shard: int | None) -> dg.RunRequest:
    config = {"lens": job.lens, "env": job.env, "job_id": job.id}
    if shard is not None:
        config["shard"] = shard  # type: ignore[assignment]
    name = JOB_NAMES[job.mode]
    part = "" if shard is None else f":{shard}"
    return dg.RunRequest(
        run_key=f"{job.id}:{job.due_at.timestamp():.3f}{part}",
        job_name=name,
        run_config={"ops": {f"run_{name}": {"config": config}}},
        tags=job_tags(job, shard),
    )


def _open_shards(project: Project, job: Job) -> list[int | None]:
    """Return the shards to launch; one run without a number does a lens of one shard."""
    with project.registry.read() as db:
        wanted = lenses.by_id(db, job.lens_id).config.shards
        building = generations.building(db, job.lens_id)
        if wanted == 1:
            return [None]
        if building is None:
            return list(range(wanted))
        left = [
            shard.number
            for shard in shards.list_all(db, building.id)
            if shard.status is not ShardStatus.DONE
        ]
        # Every shard is filled and yet the job is due: what is left is to publish.
        return list(left) or [0]


def _recover(instance: dg.DagsterInstance, project: Project) -> None:
    """Close or queue again the jobs whose process is gone (invariant 3)."""
    now = project.clock()
    with project.registry.read() as db:
        silent = jobs.silent(db, now - SILENCE)
    for job in silent:
        error = "The run's process was lost."
        with project.registry.begin() as db:
            changes.release(db, job.id)
            if job.attempt < MAX_ATTEMPTS:
                jobs.retry(db, job.id, lease=job.lease, due_at=now, error=error, now=now)
            else:
                cure = f"Look for the cause in the run's log, then `semilayer resume --lens {job.lens}`."
                jobs.finish(
                    db,
                    job.id,
                    lease=job.lease,
                    status=JobStatus.FAILED,
                    counts=job.counts,
                    error=error,
                    cure=cure,
                    now=now,
                )
                lenses.set_status(
                    db, job.lens_id, LensStatus.ERROR, error=error, cure=cure, now=now
                )
        for run in instance.get_runs(
            dg.RunsFilter(tags={TAG_JOB_ID: job.id}, statuses=[dg.DagsterRunStatus.STARTED])
        ):
            instance.report_run_failed(run, f"{error} Job {job.id} was queued again.")


def _in_flight(instance: dg.DagsterInstance, job: Job) -> bool:
    return bool(
        instance.get_run_records(
            dg.RunsFilter(tags={TAG_JOB_ID: job.id}, statuses=IN_FLIGHT), limit=1
        )
    )
