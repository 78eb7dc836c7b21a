"""Everything Dagster shows of a project, built from the registry.

The definitions can be merged with a person's own: they bring one resource, `semilayer`, and no I/O
manager, logger or executor. Importing this imports neither torch nor a store: a run imports what it
needs when it starts.
"""

from __future__ import annotations

import dagster as dg

from semilayer_pipelines.errors import SemilayerError
from semilayer_pipelines.orchestration.alerts import alerts_sensor
from semilayer_pipelines.orchestration.assets import assets_of_all, source_tables
from semilayer_pipelines.orchestration.automation import automation_sensors
from semilayer_pipelines.orchestration.catalogue import read_catalogue
from semilayer_pipelines.orchestration.checks import lens_checks
from semilayer_pipelines.orchestration.jobs import lens_jobs
from semilayer_pipelines.orchestration.names import RESOURCE
from semilayer_pipelines.orchestration.retention import retention_job, retention_schedule
from semilayer_pipelines.orchestration.schedules import cadence_schedules
from semilayer_pipelines.orchestration.sensors import due_jobs_sensor
from semilayer_pipelines.orchestration.store_watch import store_watch_sensor
from semilayer_pipelines.project import Project

__all__ = ["build_definitions"]


def build_definitions(
    project: Project | None = None, *, executor: dg.ExecutorDefinition | None = None
) -> dg.Definitions:
    """Return the definitions for the lenses that are registered now, in every environment.

    Merge them with your own: `dg.Definitions.merge(own, build_definitions(Project.at("shop")))`.
    Without a `project` it is the one of this process. `executor` runs the assets' steps; jobs and
    checks always run in their run's own process. A registry that is down leaves the lenses that
    were last seen. Raises `ConfigError` where there is no project.
    """
    project = project or Project.here()
    entries = read_catalogue(project)
    jobs, store = lens_jobs(entries), project.settings.store
    assets = assets_of_all(entries, store)
    shown = [asset for of_lens in assets.values() for asset in of_lens]
    checks, check_schedules = lens_checks([entry for entry in entries if entry in assets])
    return dg.Definitions(
        assets=[*source_tables(assets), *shown],
        asset_checks=checks,
        jobs=[*jobs, retention_job],
        sensors=[
            due_jobs_sensor(jobs, identity=_identity(project)),
            store_watch_sensor(),
            alerts_sensor(),
            *automation_sensors(a for a in shown if isinstance(a, dg.AssetsDefinition)),
        ],
        schedules=[*cadence_schedules(jobs), *check_schedules, retention_schedule],
        resources={RESOURCE: project},
        executor=executor,
    )


def _identity(project: Project) -> str | None:
    """Return whose definitions these are; `None` while the registry does not say."""
    try:
        return project.registry.identity()
    except SemilayerError:
        return None
