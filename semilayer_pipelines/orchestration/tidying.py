"""The `retention` job: drops retired indexes and forgets old history, every hour."""

import dagster as dg

from semilayer_pipelines.project import Project

__all__ = ["retention_job", "retention_schedule"]


@dg.op(description="Drops retired generations after their grace period and forgets old history.")
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Tidy the registry and the stores of the project."""
    from semilayer_pipelines.ingest.retention import tidy

    done = tidy(Project.here())
    context.log.info(
        f"forgot {done.history.jobs} jobs, {done.history.pages} pages and "
        f"{done.history.changes} applied changes; dropped {', '.join(done.indexes) or 'no index'}"
    )


@dg.job(
    name="retention",
    description="Drops retired indexes and forgets old jobs, pages and applied changes.",
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
