"""The `retention` job: drops retired indexes, forgets old history and old runs, every hour."""

import dagster as dg

from semilayer_pipelines.orchestration.names import RETENTION
from semilayer_pipelines.orchestration.run_retention import forget_runs
from semilayer_pipelines.project import Project

__all__ = ["retention_job", "retention_schedule"]


@dg.op(description="Drops retired generations after their grace period and forgets old history.")
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Tidy the registry and the stores of the project."""
    from semilayer_pipelines.ingest.retention import tidy

    project = Project.here()
    done = tidy(project)
    runs = forget_runs(context.instance, project.clock())
    context.log.info(
        f"forgot {done.history.jobs} jobs, {done.history.pages} pages and "
        f"{done.history.changes} applied changes, {runs} runs of Dagster; dropped {', '.join(done.indexes) or 'no index'}"
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
