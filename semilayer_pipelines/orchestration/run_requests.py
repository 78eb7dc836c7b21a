"""The run of a job, as sensor and schedules request it of Dagster."""

from __future__ import annotations

import dagster as dg

from semilayer_pipelines.orchestration.names import JOB_NAMES, job_tags, run_config, run_key
from semilayer_pipelines.registry.jobs import Job

__all__ = ["run_request"]


def run_request(job: Job, shard: int | None = None) -> dg.RunRequest:
    """Return the request for the run of a job, or of one shard of a full ingest."""
    return dg.RunRequest(
        run_key=run_key(job, shard),
        job_name=JOB_NAMES[job.mode],
        run_config=run_config(job, shard),
        tags=job_tags(job, shard),
    )
