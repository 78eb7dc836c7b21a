"""Ticks of the sensor, the runs that come of them, and lenses by the dozen."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.test_utils import create_run_for_test

from semilayer_pipelines.orchestration.jobs import lens_jobs
from semilayer_pipelines.orchestration.names import RESOURCE
from semilayer_pipelines.orchestration.sensors import due_jobs_sensor
from semilayer_pipelines.registry import jobs, lenses
from semilayer_pipelines.registry.jobs import Job, Mode
from tests.lab import ENV, Lab
from tests.orchestration.given import job_row

__all__ = ["ask_all", "lens_names", "more_lenses", "requests", "run_of", "tick", "waited"]


def tick(lab: Lab, instance: dg.DagsterInstance, cursor: str | None = None) -> SensorExecutionData:
    """Evaluate the sensor once, as the daemon does; `cursor` is what the last tick left."""
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={RESOURCE: lab.project}
    )
    return due_jobs_sensor(lens_jobs()).evaluate_tick(context)


def requests(lab: Lab, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    return list(tick(lab, instance).run_requests or [])


def waited(lab: Lab, job: Job, time: timedelta) -> Job:
    """Let a queued job have been due for so long."""
    with lab.project.registry.begin() as db:
        jobs.postpone(db, job.id, lab.project.clock() - time)
    return job_row(lab, job.id)


def run_of(
    instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus
) -> dg.DagsterRun:
    """Put a run on record as the daemon would have for this request."""
    tags = dict(request.tags) | {"dagster/run_key": str(request.run_key)}
    assert request.job_name is not None
    run: dg.DagsterRun = create_run_for_test(
        instance, job_name=request.job_name, status=status, tags=tags
    )
    return run


def more_lenses(lab: Lab, number: int) -> None:
    with lab.project.registry.begin() as db:
        first = lab.lens
        for n in range(number):
            lenses.register(
                db,
                first.env_id,
                f"lens_{n}",
                first.config,
                needs=lenses.Needs.NOTHING,
                origin=uuid4().hex,
                now=lab.project.clock(),
            )


def ask_all(lab: Lab, mode: Mode) -> None:
    with lab.project.registry.begin() as db:
        for lens in lenses.list_all(db, ENV):
            now = lab.project.clock()
            lenses.set_status(db, lens.id, lenses.LensStatus.READY, now=now)
            jobs.request(db, lens, mode, job_id=uuid4().hex, origin="test", now=now)


def lens_names(lab: Lab) -> list[str]:
    with lab.project.registry.read() as db:
        return [lens.name for lens in lenses.list_all(db, ENV)]
