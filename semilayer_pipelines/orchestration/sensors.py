"""The one sensor: turns due jobs into runs, and looks after runs that fell silent.

Its body asks the registry and does no work of its own. A launch is named after the job and its
attempt, so a tick that repeats itself launches nothing twice. One lens that cannot be read must
never keep the others waiting.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from functools import cache
from typing import TypeVar

import dagster as dg

from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.ingest.lease import SILENCE
from semilayer_pipelines.orchestration.health import Failing, failing_now, tell_changes
from semilayer_pipelines.orchestration.names import (
    SENSOR,
    TAG_PROJECT,
    TAG_SINGLETON,
    limit_tags,
    run_key,
)
from semilayer_pipelines.orchestration.places import missing_limits
from semilayer_pipelines.orchestration.recovery import (
    InFlight,
    cancel_queued,
    cancelled_launches,
    close_silent,
    in_flight,
)
from semilayer_pipelines.orchestration.run_requests import run_request
from semilayer_pipelines.orchestration.sensor_cursor import NOTHING_DUE, Cursor, what_was_done
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import generations, jobs, lenses, shards
from semilayer_pipelines.registry.heartbeats import DAEMON, Heart
from semilayer_pipelines.registry.jobs import PRIORITY, RUNS_AHEAD, Job, Mode
from semilayer_pipelines.registry.shards import ShardStatus

__all__ = ["LAUNCH_LOST", "due_jobs_sensor"]

# Dagster 1.13 makes a sensor again to give its jobs their resources, with the owners that it never
# had, and warns of owners then. Nobody can act on that.
warnings.filterwarnings("ignore", r"Parameter `owners` of initializer `Sensor", dg.BetaWarning)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

MAX_LAUNCHES = 50
"""Runs launched by one tick; the rest follow five seconds later."""

MAX_LOOKED_AT = 500
"""Jobs without a run that one tick looks at."""

LAUNCH_LOST = timedelta(minutes=2)
"""A due job whose run neither exists nor took it after this long is launched again."""


def due_jobs_sensor(
    targets: list[dg.JobDefinition], *, identity: str | None = None
) -> dg.SensorDefinition:
    """Return the sensor; `targets` are the jobs that it may launch, `identity` the registry's."""
    heart = Heart(DAEMON)

    @dg.sensor(
        name=SENSOR,
        description="Launches the jobs that are due in the registry, and takes care of runs whose "
        "process is gone.",
        jobs=targets,
        tags={TAG_PROJECT: identity} if identity else None,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def due_jobs(
        context: dg.SensorEvaluationContext, semilayer: dg.ResourceParam[Project]
    ) -> dg.SensorResult | dg.SkipReason:
        instance = context.instance
        if limits := missing_limits(instance):
            _warn_once(limits)
        now = semilayer.clock()
        before = Cursor.read(context.cursor)
        try:
            heart.beat(semilayer.registry, now)
            with semilayer.registry.read() as db:
                failing = failing_now(db)
                silent, idle = [], not jobs.anything_to_do(db, now, now - SILENCE)
                if not idle:
                    silent = jobs.silent(db, now - SILENCE)
            told = _tell(context, semilayer, before.failing, failing)
            if idle:
                context.update_cursor(Cursor(NOTHING_DUE, told).text)
                return dg.SkipReason(NOTHING_DUE)
            _each(context, silent, lambda job: close_silent(instance, semilayer, job))
            flying = in_flight(instance)
            with semilayer.registry.read() as db:
                waiting = _not_launched(jobs.due(db, semilayer.clock()), flying)[:MAX_LOOKED_AT]
                small = jobs.small_and_due(db, semilayer.clock())
            cancelled = cancelled_launches(instance, [job.id for job in waiting])
            launches = _Launches(semilayer, flying, cancelled, small)
            _each(context, waiting, launches.add)
        except RegistryUnavailable as error:
            return dg.SkipReason(str(error))
        requests = launches.requests[:MAX_LAUNCHES]
        did = what_was_done(requests, waiting, silent)
        context.update_cursor(Cursor(did, told).text)
        return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason(did)

    return due_jobs


@cache
def _warn_once(told: str) -> None:
    # In the code server's log, where people see it: the log of a tick is opened by few.
    _log.warning(told)


def _tell(
    context: dg.SensorEvaluationContext, project: Project, before: Failing, now: Failing
) -> Failing:
    """Report which lenses are ill and which are well again; return what is reported by now."""
    try:
        return tell_changes(context.instance, project, before, now)
    except RegistryUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a report can wait, and the jobs that are due cannot
        context.log.error(f"How the lenses are cannot be reported: {redact(str(error))}")
        return before


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


def _not_launched(due: Iterable[Job], flying: InFlight) -> list[Job]:
    """Return the jobs that no run is under way for, those of the first modes before the others.

    A full ingest may be under way in part; its shards are looked at one by one.
    """
    left = [job for job in due if job.mode is Mode.FULL or not _launched(flying, job, None)]
    return sorted(left, key=lambda job: -PRIORITY[job.mode])


def _launched(flying: InFlight, job: Job, shard: int | None) -> bool:
    """Say whether a run is under way for this already: one of this shard, or one of all shards."""
    return any(
        (job.id, limit_tags(job, number)[TAG_SINGLETON]) in flying.launched
        for number in {shard, None}
    )


class _Launches:
    """The launches of one tick."""

    def __init__(
        self, project: Project, flying: InFlight, cancelled: Collection[str], small: Collection[str]
    ) -> None:
        self._project = project
        self._flying = flying
        self._cancelled = cancelled
        self._small = small
        self._coming_up = Counter(mode for mode, job_id in flying.coming_up if job_id in small)
        self.requests: list[dg.RunRequest] = []

    def add(self, job: Job) -> None:
        """Launch a job: one run, or for a full ingest one for each shard that is not filled.

        A small job is left to the runs that come up, where there are enough of its mode.
        """
        small = job.id in self._small
        numbers = _open_shards(self._project, job) if job.mode is Mode.FULL else [None]
        if numbers and all(run_key(job, number) in self._cancelled for number in numbers):
            cancel_queued(self._project, job)
            return
        if small and self._coming_up[job.mode] >= RUNS_AHEAD:
            return
        late = self._project.clock() - job.due_at
        # Due in the future: by a clock that was wrong, which says nothing of a launch.
        lost = late > LAUNCH_LOST or late < timedelta(0)
        if lost and not any(job_id == job.id for job_id, _ in self._flying.launched):
            with self._project.registry.begin() as db:
                job = jobs.relaunch(db, job.id, self._project.clock())
        made = [
            run_request(job, number)
            for number in numbers
            if not _launched(self._flying, job, number)
        ]
        self._coming_up[job.mode] += len(made) if small else 0
        self.requests += made


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
