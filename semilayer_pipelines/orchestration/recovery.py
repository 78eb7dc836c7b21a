"""What the sensor does about jobs whose runs are gone, and about runs whose job nobody wants.

A killed process cannot say that it died: its job falls silent. Nothing is lost by taking a job that
only seems dead, because a run that lost its lease can commit nothing more (invariant 3).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import dagster as dg
from sqlalchemy import Connection

from semilayer_pipelines.ingest.lost_jobs import LOST, got_on
from semilayer_pipelines.orchestration.health import tell_health
from semilayer_pipelines.orchestration.names import (
    TAG_JOB_ID,
    TAG_LENS,
    TAG_MODE,
    TAG_SINGLETON,
    TAG_SWEEP,
)
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, generations, jobs, shards
from semilayer_pipelines.registry.jobs import Job, Mode, endings
from semilayer_pipelines.registry.jobs.endings import MAX_ATTEMPTS
from semilayer_pipelines.registry.shards import ShardStatus

__all__ = [
    "InFlight",
    "cancel_queued",
    "cancelled_launches",
    "close_silent",
    "in_flight",
]

_WAITING = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
    }
)
_CANCELLED = frozenset({dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED})
_STARTED = frozenset({dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING})
_EXCLUSIVE = (TAG_SINGLETON, TAG_SWEEP)
"""Tags of which the queue lets one run of a value work."""


@dataclass(frozen=True)
class InFlight:
    """What Dagster knows of the runs that wait or work.

    `launched` has (job id, singleton tag) of each. `coming_up` has (mode, job id) of those that
    will work soon: nothing of their kind is at work.
    """

    launched: frozenset[tuple[str, str]]
    coming_up: Sequence[tuple[str, str]]


def in_flight(instance: dg.DagsterInstance) -> InFlight:
    """Look up the runs that wait or work, in one query."""
    found = instance.get_runs(dg.RunsFilter(statuses=list(_WAITING | _STARTED)))
    runs = [run for run in found if TAG_JOB_ID in run.tags]
    at_work = {kind for run in runs if run.status in _STARTED for kind in _kinds(run)}
    return InFlight(
        frozenset((run.tags[TAG_JOB_ID], run.tags.get(TAG_SINGLETON, "")) for run in runs),
        [
            (run.tags.get(TAG_MODE, ""), run.tags[TAG_JOB_ID])
            for run in runs
            if run.status in _WAITING and at_work.isdisjoint(_kinds(run))
        ],
    )


def _kinds(run: dg.DagsterRun) -> set[tuple[str, str]]:
    return {(tag, run.tags[tag]) for tag in _EXCLUSIVE if tag in run.tags}


def cancelled_launches(instance: dg.DagsterInstance, job_ids: Collection[str]) -> frozenset[str]:
    """Return the run keys of these jobs' runs that a person took out of the queue."""
    if not job_ids:
        return frozenset()
    cancelled = dg.RunsFilter(
        tags={TAG_JOB_ID: list(job_ids)}, statuses=[dg.DagsterRunStatus.CANCELED]
    )
    tags = [run.tags for run in instance.get_runs(cancelled)]
    return frozenset(of_run["dagster/run_key"] for of_run in tags if "dagster/run_key" in of_run)


def close_silent(instance: dg.DagsterInstance, project: Project, job: Job) -> None:
    """Queue a silent job again, or end it when a person cancelled it.

    Dagster may believe that its runs are at work. They are reported failed, which frees their tags.
    """
    runs = _runs_of(instance, job)
    what_now = _decide(project, job, runs)
    if what_now is None:
        return
    tell_health(instance, project, job.env, job.lens)
    for run in runs:
        if run.status in _STARTED and not _does_another_job(project, run):
            instance.report_run_failed(run, f"{LOST} Job {job.id}: {what_now}.")


def _runs_of(instance: dg.DagsterInstance, job: Job) -> list[dg.DagsterRun]:
    """Return the runs that were launched for a job, and the one that has it."""
    runs = list(instance.get_runs(dg.RunsFilter(tags={TAG_JOB_ID: job.id})))
    if job.run_id is not None and all(run.run_id != job.run_id for run in runs):
        has_it = instance.get_run_by_id(job.run_id)
        return runs if has_it is None else [*runs, has_it]
    return runs


def _does_another_job(project: Project, run: dg.DagsterRun) -> bool:
    with project.registry.read() as db:
        return bool(jobs.of_run(db, run.run_id))


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
        if any(_cancelled(run, job) for run in runs):
            endings.cancel(db, job, counts=job.counts, now=now)
            return "canceled"
        if job.mode is Mode.FULL and _resting(db, job):
            if any(run.status in _WAITING for run in runs):
                jobs.beat(db, job.id, now)
                return "its other shards are waiting"
            jobs.requeue(db, job.id, lease=job.lease, now=now)
            return "queued again"
        failures = 1 if got_on(db, job) else job.attempt
        if failures < MAX_ATTEMPTS:
            jobs.retry(
                db, job.id, lease=job.lease, due_at=now, error=LOST, failures=failures, now=now
            )
            return "queued again"
        cure = (
            "It is tried again. Look for the cause in the run's log; at once: "
            f"`semilayer resume --lens {job.lens}`."
        )
        endings.try_again(
            db, job, failures=job.attempt, hiccup=True, error=LOST, cure=cure, now=now
        )
        return f"tried again later, after {job.attempt} attempts"


def _cancelled(run: dg.DagsterRun, job: Job) -> bool:
    """Say whether a person cancelled the run that had the job, and meant the job by it."""
    # A run that did this job for another lens was cancelled for its own.
    meant = run.tags.get(TAG_LENS, f"{job.env}:{job.lens}") == f"{job.env}:{job.lens}"
    return run.run_id == job.run_id and run.status in _CANCELLED and meant


def _resting(db: Connection, job: Job) -> bool:
    """Say whether nobody died: the shards that were begun are filled, and others wait."""
    building = generations.building(db, job.lens_id)
    if building is None:
        return False
    states = {shard.status for shard in shards.list_all(db, building.id)}
    return ShardStatus.PENDING in states and ShardStatus.RUNNING not in states
