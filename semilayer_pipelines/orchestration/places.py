"""The places of Dagster's run queue, as the limits in `dagster.yaml` give them out."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

# Dagster's own count of its limits, so that a run is judged here as its daemon will judge it.
from dagster._utils.tags import TagConcurrencyLimitsCounter

from semilayer_pipelines.orchestration.names import TAG_SINGLETON, TAG_SWEEP, TAG_WALK

__all__ = ["missing_limits", "place_is_wanted"]

# What takes a place, as Dagster counts it.
_ACTIVE = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

OURS = Path(__file__).parents[1] / "project_files" / "dagster.yaml"
"""The limits of this version."""

MAX_WAITING = 200
"""Waiting runs that are looked at; behind so many, one that could start is found later."""


def place_is_wanted(instance: dg.DagsterInstance) -> bool:
    """Say whether every place is taken, and a run waits that lacks nothing but a place."""
    queue = instance.get_concurrency_config().run_queue_config
    if queue is None or queue.max_concurrent_runs < 0:
        return False
    active = instance.get_runs(dg.RunsFilter(statuses=_ACTIVE))
    if len(active) < queue.max_concurrent_runs:
        return False
    queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
    limits = TagConcurrencyLimitsCounter(queue.tag_concurrency_limits, active)
    waiting = instance.get_runs(queued, limit=MAX_WAITING, ascending=True)
    return any(not limits.is_blocked(run) for run in waiting)


def missing_limits(instance: dg.DagsterInstance) -> str | None:
    """Say which tags of ours the run queue does not count, and the cure; `None` if it counts all.

    The limits were written for another version, or never copied. The registry keeps apart what
    must not run together all the same, but runs that should wait in the queue take up its places.
    """
    queue = instance.get_concurrency_config().run_queue_config
    limits = [] if queue is None else queue.tag_concurrency_limits
    counted = {limit.get("key") for limit in limits}
    missing = [tag for tag in (TAG_SINGLETON, TAG_SWEEP, TAG_WALK) if tag not in counted]
    if queue is None or not missing:
        return None
    return (
        f"Dagster's run queue has no limit on {', '.join(missing)}: runs that should wait take up "
        f"its places. Copy `concurrency` from {OURS} into the dagster.yaml of this Dagster, and "
        "start it again."
    )
