"""What the sensor does about jobs whose runs are gone, and about runs whose job nobody wants.

A killed process cannot say that it died: its job falls silent. Nothing is lost by taking a job that
only seems dead, because a run that lost its lease can commit nothing more (invariant 3).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg
from sqlalchemy import Connection

from semilayer_pipelines.orchestration.names import TAG_JOB_ID, TAG_SINGLETON
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, generations, jobs, shards
from semilayer_pipelines.registry.jobs import Job, Mode, endings
from semilayer_pipelines.registry.jobs.endings import MAX_ATTEMPTS
from semilayer_pipelines.registry.shards import ShardStatus

__all__ = ["SILENCE", "Launches", "cancel_queued", "close_silent", "launches_of"]

SILENCE = timedelta(seconds=45)
"""A running job whose heartbeat is older has lost its process; nine missed beats."""

_WAITING = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
    }
)
_CANCELLED = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED})
_STARTED = frozenset({dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING})

LOST = "The run's process was lost."


@dataclass(frozen=True)
class Launches:
    """What Dagster knows of the runs of some jobs.

    `in_flight` has (job id, singleton tag) of runs that wait or work, `cancelled` the run keys of
    those that a person took out of the queue.
    """

    in_flight: frozenset[tuple[str, str]]
    cancelled: frozenset[str]


def launches_of(instance: dg.DagsterInstance, job_ids: Collection[str]) -> Launches:
    """Look the runs of these jobs up, in one query."""
    if not job_ids:
        return Launches(frozenset(), frozenset())
    runs = instance.get_runs(dg.RunsFilter(tags={TAG_JOB_ID: list(job_ids)}))
    return Launches(
        frozenset(
            (run.tags[TAG_JOB_ID], run.tags.get(TAG_SINGLETON, ""))
            for run in runs
            if run.status in _WAITING | _STARTED
        ),
        frozenset(
            run.tags["dagster/run_key"]
            for run in runs
            if run.status is dg.DagsterRunStatus.CANCELED and "dagster/run_key" in run.tags
        ),
    )


def close_silent(instance: dg.DagsterInstance, project: Project, job: Job) -> None:
    """Queue a silent job again, or end it when a person cancelled it.

    Dagster may believe that its runs are at work. They are reported failed, which frees their tags.
    """
    runs = instance.get_runs(dg.RunsFilter(tags={TAG_JOB_ID: job.id}))
    what_now = _decide(project, job, runs)
    if what_now is None:
        return
    for run in runs:
        if run.status in _STARTED:
            instance.report_run_failed(run, f"{LOST} Job {job.id}: {what_now}.")


def cancel_queued(project: Project, job: Job) -> None:
    """Cancel a job whose run a person took out of Dagster's queue."""
    with project.registry.begin() as db:
        if jobs.cancel(db, job.id, project.clock()):
            endings.let_rest(db, job.lens_id, project.clock())


def _decide(project: Project, job: Job, runs: Sequence[dg.DagsterRun]) -> str | None:
    """Return what becomes of the job; `None` when it ended or was taken again since it was read.

    Its claims and its runs are then those of a process that is alive.
    """
    now = project.clock()
    with project.registry.begin() as db:
        if not jobs.holds(db, job.id, job.lease):
            return None
        changes.release(db, job.id)
        if any(run.run_id == job.run_id and run.status in _CANCELLED for run in runs):
            endings.cancel(db, job, counts=job.counts, now=now)
            return "canceled"
        if job.mode is Mode.FULL and _resting(db, job):
            if any(run.status in _WAITING for run in runs):
                jobs.beat(db, job.id, now)
                return "its other shards are waiting"
            jobs.requeue(db, job.id, lease=job.lease, now=now)
            return "queued again"
        if job.attempt < MAX_ATTEMPTS:
            jobs.retry(db, job.id, lease=job.lease, due_at=now, error=LOST, now=now)
            return "queued again"
        cure = (
            "It is tried again. Look for the cause in the run's log; at once: "
            f"`semilayer resume --lens {job.lens}`."
        )
        endings.try_again(
            db, job, failures=job.attempt, hiccup=True, error=LOST, cure=cure, now=now
        )
        return f"tried again later, after {job.attempt} attempts"


def _resting(db: Connection, job: Job) -> bool:
    """Say whether nobody died: the shards that were begun are filled, and others wait."""
    building = generations.building(db, job.lens_id)
    if building is None:
        return False
    states = {shard.status for shard in shards.list_all(db, building.id)}
    return ShardStatus.PENDING in states and ShardStatus.RUNNING not in states
