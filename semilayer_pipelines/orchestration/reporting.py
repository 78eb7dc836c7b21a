"""What a run says in Dagster's terms: log lines, observations, materialisations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from semilayer_pipelines.orchestration.metadata import (
    index_metadata,
    outcome_metadata,
    progress_metadata,
    shard_metadata,
)
from semilayer_pipelines.orchestration.names import (
    asset_key,
    published_key,
    shard_name,
    shard_names,
)
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.jobs import Job, Mode

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.progress import PageDone
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = [
    "Context",
    "OnAsset",
    "last_line",
    "log_index",
    "log_materialisations",
    "log_observation",
    "log_published",
    "page_reporter",
]

OBSERVATION_SECONDS = 15.0
"""Between two points of the progress plots: often enough to watch, few enough to keep."""

MAX_SHOWN = 64
"""Partitions that a run is shown on, each by an event; a run of more is shown on the asset."""

Context = dg.OpExecutionContext | dg.AssetExecutionContext


def page_reporter(context: Context, job: Job, shards: int) -> Callable[[PageDone], None]:
    """Return what logs every page and, now and then, adds a point to the asset's plots."""
    observed = time.monotonic()

    def report(done: PageDone) -> None:
        nonlocal observed
        context.log.info(_page_line(done, shards))
        if time.monotonic() - observed < OBSERVATION_SECONDS:
            return
        observed = time.monotonic()
        context.log_event(
            dg.AssetObservation(
                asset_key=asset_key(job.env, job.lens),
                partition=shard_name(done.shard, shards) if shards else None,
                metadata=progress_metadata(done),
            )
        )

    return report


def _page_line(done: PageDone, shards: int) -> str:
    counts = done.counts
    parts = [
        f"page {done.page}",
        f"{counts.read:,} rows at {done.speed}",
        f"{counts.embedded:,} embedded",
        f"{counts.reused:,} vectors reused",
        f"{counts.unchanged:,} unchanged",
        f"{counts.written:,} written",
    ]
    if counts.failed:
        parts.append(f"{counts.failed:,} set aside")
    if counts.textless:
        parts.append(f"{counts.textless:,} without a text")
    so_far = f"{done.before + done.total.read:,}"
    if done.expected_rows:
        so_far += f" of {done.expected_rows:,}"
    where = f" [shard {shard_name(done.shard, shards)}]" if shards > 1 else ""
    return " · ".join(parts) + f" · {so_far} so far{where}"


def last_line(job: Job, outcome: Outcome) -> str:
    """Return a run's last log line."""
    counts = ", ".join(f"{name} {number:,}" for name, number in outcome.counts.as_dict().items())
    look = outcome.look_at
    again = f", looks again at {look:%H:%M} UTC" if look is not None else ""
    return f"{job.mode.value} of {job.env}/{job.lens}: {outcome.ended.value}{again}; {counts}"


class OnAsset:
    """Shows the run of a job on the asset that it writes to; Dagster does that for an asset's own.

    A run that fills shards is shown on their partitions. A sync is shown on the asset alone: it
    fills no partition, and Dagster takes a partition for failed until it is filled.
    """

    def __init__(self, context: Context, job: Job, shard: int | None, shards: int) -> None:
        self._context, self._job = context, job
        self._partitions: Sequence[str | None] = [None]
        if shard is not None:
            self._partitions = [shard_name(shard, shards)]
        elif job.mode is Mode.FULL and shards <= MAX_SHOWN:
            self._partitions = shard_names(shards)
        self._shown = isinstance(context, dg.AssetExecutionContext)

    def show(self) -> None:
        """Show it, unless it is shown already."""
        if not self._shown:
            self._shown = True
            for partition in self._partitions:
                self._plan(partition)

    def _plan(self, partition: str | None) -> None:
        # Dagster makes these events for runs that are launched from an asset. They are not public.
        from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

        run = self._context.run
        key = dg.AssetKey(asset_key(self._job.env, self._job.lens))
        event = DagsterEvent.build_asset_materialization_planned_event(
            run.job_name,
            self._context.op.name,
            AssetMaterializationPlannedData(key, partition=partition),
        )
        self._context.instance.report_dagster_event(event, run_id=run.run_id)


def log_materialisations(
    context: Context,
    project: Project,
    job: Job,
    outcome: Outcome,
    shard: int | None,
    shards: int,
) -> None:
    """Record the shards of a full ingest that ran as a job, not as an asset."""
    for number in range(shards) if shard is None else (shard,):
        context.log_event(
            dg.AssetMaterialization(
                asset_key=asset_key(job.env, job.lens),
                partition=shard_name(number, shards),
                metadata=shard_metadata(project, job, outcome, number),
            )
        )


def log_observation(context: Context, project: Project, job: Job, outcome: Outcome) -> None:
    """Record what a run did to a lens that is no materialisation: a sync fills no partition."""
    context.log_event(
        dg.AssetObservation(
            asset_key=asset_key(job.env, job.lens),
            metadata=outcome_metadata(project, job, outcome),
        )
    )


def log_published(context: Context, env: str, lens: str, outcome: Outcome) -> None:
    """Record that a run changed the index in use: it published one, or wrote to the one there."""
    if changed_index(outcome):
        log_index(context, env, lens, outcome)


def changed_index(outcome: Outcome) -> bool:
    """Say whether a run published an index, or wrote to the one in use."""
    counts = outcome.counts
    wrote = outcome.index_rows is not None and bool(counts.written or counts.deleted)
    return outcome.published or wrote


def log_index(context: Context, env: str, lens: str, outcome: Outcome) -> None:
    """Record that the index in use is another one, or holds what its table held just now."""
    context.log_event(
        dg.AssetMaterialization(
            asset_key=published_key(env, lens), metadata=index_metadata(outcome)
        )
    )
