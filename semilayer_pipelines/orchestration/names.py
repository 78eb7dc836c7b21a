"""What things are called in Dagster: assets, partitions, jobs, tags, the configuration of a run.

The names are fixed: dashboards, saved views and programs that launch over GraphQL rely on them.
"""

from __future__ import annotations

from semilayer_pipelines.lens_names import asset_key, published_key
from semilayer_pipelines.registry.jobs import PRIORITY, Job, Mode

__all__ = [
    "ALERTS",
    "AUTOMATION",
    "BY_JOB_ID",
    "CHECKS",
    "HEALTHY",
    "HOURLY",
    "JOB_NAMES",
    "LOCATION",
    "RESOURCE",
    "RETENTION",
    "SENSOR",
    "STORE_WATCH",
    "TAG_JOB_ID",
    "asset_key",
    "job_tags",
    "limit_tags",
    "published_key",
    "run_config",
    "run_key",
    "shard_name",
    "shard_names",
    "shard_number",
    "source_key",
]

LOCATION = "semilayer_pipelines"

# Dagster's UI shows no tag that begins with `.dagster/`. `dagster.yaml` counts the first three.
TAG_SINGLETON = ".dagster/semilayer-singleton"
TAG_SWEEP = ".dagster/semilayer-sweep"
TAG_WALK = ".dagster/semilayer-walk"
"""On every run but those of records: it may last hours. All shards of a rebuild have one value."""

TAG_JOB_ID = ".dagster/semilayer-job"

TAG_LENS = "semilayer/lens"
TAG_MODE = "semilayer/mode"

TAG_PROJECT = "semilayer/project"
"""On the sensor: which registry the definitions are of, so that nobody takes them for another's."""

JOB_NAMES = {
    Mode.FULL: "full_ingest",
    Mode.INCREMENTAL: "incremental_ingest",
    Mode.RECORDS: "records_ingest",
    Mode.SMART_SYNC: "smart_sync",
    Mode.REPAIR: "repair",
}
"""Dagster job of each mode."""

RETENTION = "retention"
"""The Dagster job that tidies up."""

HOURLY = {"dagster/max_runtime": "10800"}
"""On runs that hold no lease: one whose process is lost gives its place back after three hours."""

RESOURCE = "semilayer"
"""The resource that every asset, job, check, sensor and schedule works on: the `Project`."""

SENSOR = "due_jobs"
"""The sensor that launches due jobs."""

AUTOMATION = "lens_automation"
"""The sensor that evaluates the automation conditions of lenses."""

STORE_WATCH = "store_watch"
"""The sensor that notices restarts of stores."""

ALERTS = "alerts"
"""The sensor that tells the addresses of `alerts:` what is wrong."""

BY_JOB_ID = "(by job_id)"
"""In place of a lens's name, which it cannot be: the run is for the job that `job_id` names.

A code server refuses a run of a lens that was pushed after it loaded. What is launched for a job
names no lens, so that it is never refused.
"""

HEALTHY = "healthy"
"""The check that tells the state of a lens; it is reported whenever that changes."""

CHECKS = {
    HEALTHY: "No job of the lens failed for good. It is looked at when a job fails and when that "
    "is mended.",
    "rows_match_source": "As many rows are indexed as the source has; rows that are set aside or "
    "whose changes wait may be the difference.",
    "no_failed_rows": "No row is set aside.",
    "fresh": "The last walks are no older than two of their intervals.",
    "sample_matches_source": "Some rows, compared hash for hash.",
    "one_model": "One model and one dimension, those of the lens as it was pushed.",
}
"""Asset checks of each lens; `queries.checks.Check` has the same names."""


def source_key(env: str, source: str, table: str) -> list[str]:
    """Return the key of the asset that stands for a table of a source."""
    return [env, source, table]


def shard_names(shards: int) -> list[str]:
    """Return the partition keys of a lens with so many shards, in key order."""
    return [shard_name(number, shards) for number in range(shards)]


def shard_name(number: int, shards: int) -> str:
    """Return the partition key of a shard: `s00`, with more digits where there are more shards."""
    return f"s{number:0{max(2, len(str(shards - 1)))}d}"


def shard_number(name: str) -> int:
    """Return the number in a partition key."""
    return int(name.removeprefix("s"))


def job_tags(job: Job, shard: int | None = None) -> dict[str, str]:
    """Return the tags of a run that is launched for this job."""
    return {
        **limit_tags(job, shard),
        TAG_LENS: f"{job.env}:{job.lens}",
        TAG_MODE: job.mode.value,
        TAG_JOB_ID: job.id,
        # Dagster's own name: where places are few, the greater number starts first.
        "dagster/priority": str(PRIORITY[job.mode]),
    }


def limit_tags(job: Job, shard: int | None = None) -> dict[str, str]:
    """Return the tags that the limits of the run queue count: what the job may not run beside."""
    # A repair's key has its shard already.
    one_shard = job.mode is Mode.FULL and shard is not None
    tags = {TAG_SINGLETON: f"{job.singleton}:{shard}" if one_shard else job.singleton}
    if job.mode in (Mode.INCREMENTAL, Mode.SMART_SYNC, Mode.REPAIR):
        tags[TAG_SWEEP] = f"{job.env}:{job.lens}"
    if job.mode is not Mode.RECORDS:
        tags[TAG_WALK] = job.singleton
    return tags


def run_key(job: Job, shard: int | None = None) -> str:
    """Return the name of one launch of a job, which Dagster makes at most once."""
    part = "" if shard is None else f":{shard}"
    return f"{job.id}:{job.due_at.timestamp():.3f}{part}"


def run_config(job: Job, shard: int | None = None) -> dict[str, object]:
    """Return the configuration of a run that is to take this job."""
    config: dict[str, object] = {"lens": BY_JOB_ID, "job_id": job.id}
    if shard is not None:
        config["shard"] = shard
    return {"ops": {f"run_{JOB_NAMES[job.mode]}": {"config": config}}}
