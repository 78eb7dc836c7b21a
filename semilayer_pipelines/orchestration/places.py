"""The places of Dagster's run queue, as the limits in `dagster.yaml` give them out."""

from __future__ import annotations

import dagster as dg

# Dagster's own count of its limits, so that a run is judged here as its daemon will judge it.
from dagster._utils.tags import TagConcurrencyLimitsCounter

__all__ = ["place_is_wanted"]

# What takes a place, as Dagster counts it.
_ACTIVE = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)

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
