"""The one sensor: turns due jobs into runs, and looks after runs that fell silent.

Its body asks the registry and does no work of its own. A launch is named after the job and its
attempt, so a tick that repeats itself launches nothing twice. One lens that cannot be read must
never keep the others waiting.
"""

import warnings
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

import dagster as dg

from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.orchestration.names import (
    JOB_NAMES,
    SENSOR,
    TAG_SINGLETON,
    job_tags,
    run_config,
)
from semilayer_pipelines.orchestration.recovery import (
    SILENCE,
    Launches,
    cancel_queued,
    close_silent,
    launches_of,
)
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import generations, jobs, lenses, shards
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.shards import ShardStatus

__all__ = ["LAUNCH_LOST", "due_jobs_sensor"]

# Dagster 1.13 makes a sensor again to give its jobs their resources, with the owners that it never
# had, and warns of owners then. Nobody can act on that.
warnings.filterwarnings("ignore", r"Parameter `owners` of initializer `Sensor", dg.BetaWarning)

_T = TypeVar("_T")

MAX_LAUNCHES = 50
"""Jobs launched by one tick; the rest follow five seconds later."""

LAUNCH_LOST = timedelta(minutes=2)
"""A due job whose run neither exists nor took it after this long is launched again."""


def due_jobs_sensor(targets: list[dg.JobDefinition]) -> dg.SensorDefinition:
    """Return the sensor; `targets` are the jobs that it may launch."""

    @dg.sensor(
        name=SENSOR,
        description="Launches the jobs that are due in the registry, and takes care of runs whose "
        "process is gone.",
        jobs=targets,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def due_jobs(
        context: dg.SensorEvaluationContext, semilayer: dg.ResourceParam[Project]
    ) -> dg.SensorResult | dg.SkipReason:
        instance = context.instance

        def requests_of(job: Job) -> list[dg.RunRequest]:
            return _requests(semilayer, launches, job)

        now = semilayer.clock()
        try:
            with semilayer.registry.read() as db:
                if not jobs.anything_to_do(db, now, now - SILENCE):
                    return dg.SkipReason("No job is due.")
                silent = jobs.silent(db, now - SILENCE)
            _each(context, silent, lambda job: close_silent(instance, semilayer, job))
            with semilayer.registry.read() as db:
                due = jobs.due(db, semilayer.clock(), limit=MAX_LAUNCHES)
            launches = launches_of(instance, [job.id for job in due])
            requests = _each(context, due, requests_of)
        except RegistryUnavailable as error:
            return dg.SkipReason(str(error))
        if not due:
            return dg.SkipReason("No job is due.")
        return dg.SensorResult(run_requests=[one for several in requests for one in several])

    return due_jobs


def _each(
    context: dg.SensorEvaluationContext, found: Iterable[Job], do: Callable[[Job], _T]
) -> list[_T]:
    """Do something for every job; what fails for one is logged and does not stop the others."""
    done = []
    for job in found:
        try:
            done.append(do(job))
        except RegistryUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one lens, the rest go on
            context.log.error(f"{job.env}/{job.lens}, job {job.id}: {redact(str(error))}")
    return done


def _requests(project: Project, launches: Launches, job: Job) -> list[dg.RunRequest]:
    """Return the launches of a job: one, or for a full ingest one per shard that is not filled."""
    numbers = _open_shards(project, job) if job.mode is Mode.FULL else [None]
    requests = [_request(job, number) for number in numbers]
    if requests and all(request.run_key in launches.cancelled for request in requests):
        cancel_queued(project, job)
        return []
    if project.clock() - job.due_at > LAUNCH_LOST and not any(
        job_id == job.id for job_id, _ in launches.in_flight
    ):
        with project.registry.begin() as db:
            job = jobs.relaunch(db, job.id, project.clock())
        requests = [_request(job, number) for number in numbers]
    return [
        request
        for number, request in zip(numbers, requests, strict=True)
        if not _in_flight(launches, job, number)
    ]


def _in_flight(launches: Launches, job: Job, shard: int | None) -> bool:
    """Say whether a run does this already: one of this shard, or one of all shards."""
    return any(
        (job.id, job_tags(job, number)[TAG_SINGLETON]) in launches.in_flight
        for number in {shard, None}
    )


def _request(job: Job, shard: int | None) -> dg.RunRequest:
    part = "" if shard is None else f":{shard}"
    return dg.RunRequest(
        run_key=f"{job.id}:{job.due_at.timestamp():.3f}{part}",
        job_name=JOB_NAMES[job.mode],
        run_config=run_config(job, shard),
        tags=job_tags(job, shard),
    )


def _open_shards(project: Project, job: Job) -> list[int | None]:
    """Return the shards to launch; `None` stands for the only shard of a lens."""
    with project.registry.read() as db:
        wanted = lenses.by_id(db, job.lens_id).config.shards
        building = generations.building(db, job.lens_id)
        if wanted == 1:
            return [None]
        if building is None:
            return list(range(wanted))
        left: list[int | None] = [
            shard.number
            for shard in shards.list_all(db, building.id)
            if shard.status is not ShardStatus.DONE
        ]
        # Every shard is filled and yet the job is due: what is left is to publish.
        return left or [0]
