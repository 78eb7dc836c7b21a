"""Jobs: the one way to make them, and every step of their way.

A job exists before any run does; `request` makes it (`jobs.queue`). This is the face: what a job is
stands in `jobs.job`, how it moves in `jobs.steps`, how it ends in `jobs.endings`.

In a transaction that also appends changes, append first: all who take both locks then take them in
one order.
"""

from semilayer_pipelines.http.contract import JobStatus, Mode
from semilayer_pipelines.registry.jobs.endings import finish, requeue, retry, wait
from semilayer_pipelines.registry.jobs.job import KEEPS_ITS_PLACE, PRIORITY, Job, singleton_key
from semilayer_pipelines.registry.jobs.queries import (
    QueueCounts,
    anything_to_do,
    done_since,
    due,
    find,
    get,
    holds,
    is_due,
    last_began,
    last_completed,
    of_run,
    queue_counts,
    queued,
    recent,
    running,
    silent,
    walked_since,
)
from semilayer_pipelines.registry.jobs.queue import (
    Requested,
    cancel,
    hasten,
    postpone,
    relaunch,
    request,
)
from semilayer_pipelines.registry.jobs.sharing import RUNS_AHEAD, next_small, small_and_due
from semilayer_pipelines.registry.jobs.steps import beat, heartbeat, join, take

__all__ = [
    "KEEPS_ITS_PLACE",
    "PRIORITY",
    "RUNS_AHEAD",
    "Job",
    "JobStatus",
    "Mode",
    "QueueCounts",
    "Requested",
    "anything_to_do",
    "beat",
    "cancel",
    "done_since",
    "due",
    "find",
    "finish",
    "get",
    "hasten",
    "heartbeat",
    "holds",
    "is_due",
    "join",
    "last_began",
    "last_completed",
    "next_small",
    "of_run",
    "postpone",
    "queue_counts",
    "queued",
    "recent",
    "relaunch",
    "request",
    "requeue",
    "retry",
    "running",
    "silent",
    "singleton_key",
    "small_and_due",
    "take",
    "wait",
    "walked_since",
]
