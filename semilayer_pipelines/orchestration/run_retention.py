"""Forgetting Dagster's runs: ten thousand small ones a day would fill its storage.

What a run did stays with its job in the registry, which has a retention of its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from semilayer_pipelines.orchestration.names import JOB_NAMES, RETENTION
from semilayer_pipelines.registry.jobs import Mode

__all__ = ["MAX_RUNS", "RUNS_KEPT", "SMALL_RUNS_KEPT", "forget_runs"]

SMALL_RUNS_KEPT = timedelta(days=1)
"""Runs that are many and went well: records and incremental ingest, and the retention itself."""

RUNS_KEPT = timedelta(days=30)
"""All others, failed ones too."""

MAX_RUNS = 2_000
"""Runs that one sweep forgets; hourly, that is 48,000 a day."""

_SMALL = (JOB_NAMES[Mode.RECORDS], JOB_NAMES[Mode.INCREMENTAL], RETENTION)
_ENDED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


def forget_runs(instance: dg.DagsterInstance, now: datetime, *, limit: int = MAX_RUNS) -> int:
    """Delete old runs with their events, at most `limit`, the oldest first; return how many."""
    old = [
        dg.RunsFilter(
            job_name=name,
            statuses=[dg.DagsterRunStatus.SUCCESS],
            updated_before=now - SMALL_RUNS_KEPT,
        )
        for name in _SMALL
    ]
    old.append(dg.RunsFilter(statuses=_ENDED, updated_before=now - RUNS_KEPT))
    forgotten = 0
    for which in old:
        records = instance.get_run_records(
            which, limit=limit - forgotten, order_by="update_timestamp", ascending=True
        )
        for record in records:
            instance.delete_run(record.dagster_run.run_id)
        forgotten += len(records)
        if forgotten == limit:
            break
    return forgotten
