"""What a run says in Dagster's terms: log lines, observations, materialisations, metadata."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from semilayer_pipelines.orchestration.names import asset_key, published_key, shard_name
from semilayer_pipelines.registry.jobs import Job, Mode

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.progress import PageDone
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = [
    "Context",
    "last_line",
    "log_index",
    "log_materialisations",
    "log_observation",
    "log_published",
    "outcome_metadata",
    "page_reporter",
]

OBSERVATION_SECONDS = 15.0
"""Between two points of the progress plots: often enough to watch, few enough to keep."""

Context = dg.OpExecutionContext | dg.AssetExecutionContext


def outcome_metadata(outcome: Outcome) -> dict[str, Any]:
    """Return the numbers of a run as metadata; Dagster plots the numeric ones over time."""
    metadata: dict[str, Any] = dict(outcome.counts.as_dict())
    metadata["seconds"] = round(outcome.seconds, 3)
    metadata["rows_per_second"] = round(outcome.counts.read / max(outcome.seconds, 1e-3), 1)
    metadata["tokens_per_second"] = round(outcome.counts.tokens / max(outcome.seconds, 1e-3), 1)
    metadata["ended"] = outcome.ended.value
    metadata["semilayer_job"] = outcome.job_id
    return metadata | _index_metadata(outcome)


def _index_metadata(outcome: Outcome) -> dict[str, Any]:
    """Return what is known of the generation that a run wrote to or published."""
    metadata: dict[str, Any] = {}
    if outcome.generation is not None:
        metadata["generation"] = outcome.generation.number
        metadata["index"] = outcome.generation.index_name
        metadata["embedded_by"] = ", ".join(outcome.generation.embedded_by) or "unknown"
    if outcome.index_rows is not None:
        metadata["dagster/row_count"] = outcome.index_rows
    return metadata


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
                metadata=_progress(done),
            )
        )

    return report


def _progress(done: PageDone) -> dict[str, Any]:
    metadata = {
        "rows_per_second": round(done.speed.rows, 1),
        "tokens_per_second": round(done.speed.tokens, 1),
        "rows_read": done.total.read,
        "rows_written": done.total.written,
    }
    return metadata if done.speed.left is None else metadata | {"seconds_left": done.speed.left}


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
    return f"{job.mode.value} of {job.env}/{job.lens}: {outcome.ended.value}; {counts}"


def log_materialisations(
    context: Context, job: Job, outcome: Outcome, shard: int | None, shards: int
) -> None:
    """Record the shards of a full ingest that ran as a job, not as an asset."""
    for number in range(shards) if shard is None else (shard,):
        context.log_event(
            dg.AssetMaterialization(
                asset_key=asset_key(job.env, job.lens),
                partition=shard_name(number, shards),
                metadata=outcome_metadata(outcome),
            )
        )


def log_observation(context: Context, job: Job, outcome: Outcome) -> None:
    """Record what a run did to a lens that is no materialisation: a sync fills no partition.

    `unseen_by_incremental` of a smart sync are the rows and deletes that no incremental walk sees.
    """
    metadata = outcome_metadata(outcome) | {"mode": job.mode.value}
    if job.mode is Mode.SMART_SYNC:
        counts = outcome.counts
        metadata["unseen_by_incremental"] = counts.missed_updates + counts.deleted
    context.log_event(
        dg.AssetObservation(asset_key=asset_key(job.env, job.lens), metadata=metadata)
    )


def log_published(context: Context, env: str, lens: str, outcome: Outcome) -> None:
    """Record that a generation was published, when this run did it."""
    if outcome.published:
        log_index(context, env, lens, outcome)


def log_index(context: Context, env: str, lens: str, outcome: Outcome) -> None:
    """Record that the index in use is another one, or holds what its table held just now."""
    context.log_event(
        dg.AssetMaterialization(
            asset_key=published_key(env, lens), metadata=_index_metadata(outcome)
        )
    )
