"""Every hour: drop retired indexes, forget old history, and forget old runs of Dagster.

Ten thousand small runs a day would fill Dagster's storage. What a run did stays with its job in the
registry, which has a retention of its own. Runs that filled an index stay, because Dagster forgets
with a run that its asset was ever materialised. Runs of anybody else's jobs stay as well.
"""

from datetime import datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG

from semilayer_pipelines.orchestration.checks import CHECK_JOB
from semilayer_pipelines.orchestration.names import HOURLY, JOB_NAMES, RETENTION
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
"""Runs that failed or were cancelled, smart syncs, and looks at the checks."""

MAX_RUNS = 2_000
"""Runs that are forgotten at a time; hourly, that is 48,000 a day."""

_SMALL = (JOB_NAMES[Mode.RECORDS], JOB_NAMES[Mode.INCREMENTAL], RETENTION)
_RARE = (JOB_NAMES[Mode.SMART_SYNC], CHECK_JOB)
_OURS = (*JOB_NAMES.values(), CHECK_JOB, RETENTION)
_SUCCESS = (dg.DagsterRunStatus.SUCCESS,)
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dg.op(description="Drops retired generations after their grace period and forgets old history.")
def tidy_up(context: dg.OpExecutionContext, semilayer: dg.ResourceParam[Project]) -> None:
    """Tidy the registry and the stores of the project, and Dagster's runs."""
    from semilayer_pipelines.ingest.retention import tidy

    done = tidy(semilayer)
    origin = context.run.remote_job_origin
    location = None if origin is None else origin.repository_origin.get_label()
    runs = forget_runs(context.instance, semilayer.clock(), location=location)
    context.log.info(
        f"forgot {done.history.jobs} jobs, {done.history.pages} pages and "
        f"{done.history.changes} applied changes, {runs} runs of Dagster; "
        f"dropped {', '.join(done.indexes) or 'no index'}"
    )


@dg.job(
    name=RETENTION,
    description="Drops retired indexes and forgets old jobs, pages, applied changes and runs.",
    executor_def=dg.in_process_executor,
    tags=HOURLY,
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


def forget_runs(
    instance: dg.DagsterInstance,
    now: datetime,
    *,
    location: str | None = None,
    limit: int = MAX_RUNS,
) -> int:
    """Delete old runs of our jobs with their events, at most `limit`; return how many.

    `location` is the label of the code location whose runs they are: others may have a job of the
    same name. Of each job the oldest go first.
    """
    late, long_ago = now - SMALL_RUNS_KEPT, now - RUNS_KEPT
    old = [
        *((job, _SUCCESS, late) for job in _SMALL),
        *((job, _SUCCESS, long_ago) for job in _RARE),
        *((job, _FAILED, long_ago) for job in _OURS),
    ]
    forgotten = 0
    for job, statuses, before in old:
        which = dg.RunsFilter(
            job_name=job,
            statuses=statuses,
            updated_before=before,
            tags={} if location is None else {REPOSITORY_LABEL_TAG: location},
        )
        records = instance.get_run_records(
            which, limit=limit - forgotten, order_by="update_timestamp", ascending=True
        )
        for record in records:
            instance.delete_run(record.dagster_run.run_id)
        forgotten += len(records)
        if forgotten == limit:
            break
    return forgotten
