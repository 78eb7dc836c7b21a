"""The numbers of a run as metadata: Dagster tabulates them, and plots the numeric ones over time.

Dagster plots in the order of the names' characters, capitals first. So the names of what people
look at first begin with one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, generations, shards
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.jobs import Job, Mode

if TYPE_CHECKING:
    from semilayer_pipelines.counts import Counts
    from semilayer_pipelines.ingest.progress import PageDone
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = ["PLOTS", "index_metadata", "outcome_metadata", "progress_metadata", "shard_metadata"]

EMBEDDED = "Rows embedded"
FAILED = "Rows set aside"
SPEED = "Rows per second"
BEHIND = "Seconds behind"

PLOTS = (
    f"Plots: **{EMBEDDED}** had a new text, or no vector to take over. **{SPEED}** are read from "
    f"the source, whether they had changed or not. **{FAILED}** could not be indexed; `semilayer "
    f"failed` says why. **{BEHIND}** is the age of the oldest pushed change that still waits."
)

_ALWAYS = ("read", "unchanged", "reused", "written", "deleted")
_LEADING = ("embedded", "failed")


def outcome_metadata(project: Project, job: Job, outcome: Outcome) -> dict[str, Any]:
    """Return the numbers of a job that ended: those that people look at, then the others.

    Of the counts that are mostly 0, those that are not. `unseen_by_incremental` of a smart sync
    are the rows and deletes that no incremental walk sees.
    """
    with project.registry.read() as db:
        behind = _behind(db, project, job)
    metadata: dict[str, Any] = {
        EMBEDDED: outcome.counts.embedded,
        FAILED: outcome.counts.failed,
        SPEED: round(outcome.counts.read / max(outcome.seconds, 1e-3), 1),
        BEHIND: behind,
        **_counted(outcome.counts),
        "seconds": round(outcome.seconds, 3),
        "mode": job.mode.value,
        "ended": outcome.ended.value,
        "semilayer_job": outcome.job_id,
    }
    if outcome.counts.tokens:
        metadata["tokens_per_second"] = round(outcome.counts.tokens / outcome.seconds, 1)
    if job.mode is Mode.SMART_SYNC:
        counts = outcome.counts
        metadata["unseen_by_incremental"] = counts.missed_updates + counts.deleted
    return metadata | index_metadata(outcome)


def _behind(db: Connection, project: Project, job: Job) -> float:
    since = changes.waiting_since(db, job.lens_id)
    return 0.0 if since is None else round(max(0.0, (project.clock() - since).total_seconds()), 1)


def _counted(counts: Counts) -> dict[str, int]:
    return {
        name: number
        for name, number in counts.as_dict().items()
        if name in _ALWAYS or (number and name not in _LEADING)
    }


def shard_metadata(project: Project, job: Job, outcome: Outcome, shard: int) -> dict[str, Any]:
    """Return the numbers of a job that filled or mended a shard, with its key range and rows."""
    with project.registry.read() as db:
        # Before the last shard is filled, an outcome has no generation.
        generation = (
            outcome.generation
            or generations.building(db, job.lens_id)
            or generations.active(db, job.lens_id)
        )
        rows = _rows_of(db, generation, job, outcome, shard)
    told: dict[str, Any] = {"keys": _range_told(generation, shard)} if generation else {}
    if rows is not None:
        told["dagster/partition_row_count"] = rows
    return told | outcome_metadata(project, job, outcome)


def _rows_of(
    db: Connection, generation: Generation | None, job: Job, outcome: Outcome, shard: int
) -> int | None:
    """Return how many rows of the source lie in a shard; `None` where nobody has counted them."""
    if job.mode is Mode.REPAIR:
        return outcome.counts.read
    if generation is None:
        return None
    found = {one.number: one.counts.read for one in shards.list_all(db, generation.id)}
    return found.get(shard, 0)


def _range_told(generation: Generation, shard: int) -> str:
    """Say which keys a shard has. Its upper bound belongs to it, its lower one does not."""
    from semilayer_pipelines.bridges.cursors import decode, shown_key
    from semilayer_pipelines.ingest.walk import shard_window

    if shard >= generation.shard_count:
        return "none: the index has fewer shards than the lens"
    window = shard_window(generation.bounds, shard)
    after = None if window.after is None else shown_key(decode(window.after))
    upto = None if window.upto is None else shown_key(decode(window.upto))
    match after, upto:
        case None, None:
            return "all"
        case None, _:
            return f"up to {upto}"
        case _, None:
            return f"after {after}"
        case _:
            return f"after {after}, up to {upto}"


def index_metadata(outcome: Outcome) -> dict[str, Any]:
    """Return what is known of the generation that a run wrote to or published."""
    metadata: dict[str, Any] = {}
    if outcome.generation is not None:
        metadata["generation"] = outcome.generation.number
        metadata["index"] = outcome.generation.index_name
        metadata["embedded_by"] = ", ".join(outcome.generation.embedded_by) or "unknown"
    if outcome.index_rows is not None:
        metadata["dagster/row_count"] = outcome.index_rows
    return metadata


def progress_metadata(done: PageDone) -> dict[str, Any]:
    """Return a point of the plots of a job that is at work."""
    told = {
        SPEED: round(done.speed.rows, 1),
        EMBEDDED: done.total.embedded,
        FAILED: done.total.failed,
        "read": done.total.read,
        "written": done.total.written,
    }
    return told if done.speed.left is None else told | {"seconds_left": done.speed.left}
