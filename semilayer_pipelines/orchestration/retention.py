"""Every hour: drop retired indexes, forget old history, and forget old runs of Dagster.

Ten thousand small runs a day would fill Dagster's storage. What a run did stays with its job in the
registry, which has a retention of its own. Runs that filled an index stay, because Dagster forgets
with a run that its asset was ever materialised.
"""

from datetime import datetime, timedelta

import dagster as dg

from semilayer_pipelines.orchestration.names import JOB_NAMES, RETENTION
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.jobs import Mode

__all__ = [
    "MAX_RUNS",
    "RUNS_KEPT",
    "SMALL_RUNS_KEPT",
    "forget_runs",
    "retention_job",
    "retention_schedule",
]

SMALL_RUNS_KEPT = timedelta(days=1)
"""Runs that are many and went well: records and incremental ingest, and the retention itself."""

RUNS_KEPT = timedelta(days=30)
"""Runs that failed or were cancelled, and smart syncs."""

MAX_RUNS = 2_000
"""Runs that are forgotten at a time; hourly, that is 48,000 a day."""

_SMALL = (JOB_NAMES[Mode.RECORDS], JOB_NAMES[Mode.INCREMENTAL], RETENTION)
_SUCCESS = (dg.DagsterRunStatus.SUCCESS,)
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dg.op(description="Drops retired generations after their grace period and forgets old history.")
def tidy_up(context: dg.OpExecutionContext, semilayer: dg.ResourceParam[Project]) -> None:
    """Tidy the registry and the stores of the project, and Dagster's runs."""
    from semilayer_pipelines.ingest.retention import tidy

    done = tidy(semilayer)
    runs = forget_runs(context.instance, semilayer.clock())
    context.log.info(
        f"forgot {done.history.jobs} jobs, {done.history.pages} pages and "
        f"{done.history.changes} applied changes, {runs} runs of Dagster; "
        f"dropped {', '.join(done.indexes) or 'no index'}"
    )


@dg.job(
    name=RETENTION,
    description="Drops retired indexes and forgets old jobs, pages, applied changes and runs.",
    executor_def=dg.in_process_executor,
)
def retention_job() -> None:
    """Run the one op."""
    tidy_up()


retention_schedule = dg.ScheduleDefinition(
    name="retention_hourly",
    job=retention_job,
    cron_schedule="17 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def forget_runs(instance: dg.DagsterInstance, now: datetime, *, limit: int = MAX_RUNS) -> int:
    """Delete old runs with their events, at most `limit`, the oldest first; return how many."""
    late, long_ago = now - SMALL_RUNS_KEPT, now - RUNS_KEPT
    sync = JOB_NAMES[Mode.SMART_SYNC]
    old = [
        *(dg.RunsFilter(job_name=x, statuses=_SUCCESS, updated_before=late) for x in _SMALL),
        dg.RunsFilter(job_name=sync, statuses=_SUCCESS, updated_before=long_ago),
        dg.RunsFilter(statuses=_FAILED, updated_before=long_ago),
    ]
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
