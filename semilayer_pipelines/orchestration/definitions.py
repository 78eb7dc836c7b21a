"""Everything Dagster shows, built from the registry when the code location loads.

Reloaded after a push. Imports neither torch nor a store: what a run needs it imports when it
starts.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from semilayer_pipelines.orchestration.assets import lens_assets
from semilayer_pipelines.orchestration.catalogue import read_catalogue
from semilayer_pipelines.orchestration.checks import lens_checks
from semilayer_pipelines.orchestration.jobs import lens_jobs
from semilayer_pipelines.orchestration.names import RESOURCE
from semilayer_pipelines.orchestration.retention import retention_job, retention_schedule
from semilayer_pipelines.orchestration.schedules import cadence_schedules
from semilayer_pipelines.orchestration.sensors import due_jobs_sensor
from semilayer_pipelines.project import Project

__all__ = ["build_definitions", "defs"]


def build_definitions(project: Project) -> dg.Definitions:
    """Return the definitions for the lenses that are registered now."""
    jobs, store = lens_jobs(), project.settings.store
    entries = read_catalogue(project)
    checks, check_schedules = lens_checks(entries)
    return dg.Definitions(
        assets=[asset for entry in entries for asset in lens_assets(entry, store)],
        asset_checks=checks,
        jobs=[*jobs, retention_job],
        sensors=[due_jobs_sensor(jobs)],
        schedules=[*cadence_schedules(entries, jobs), *check_schedules, retention_schedule],
        resources={RESOURCE: project},
        executor=dg.in_process_executor,
    )


# Also of a folder without lenses, where the UI is to come up and wait for them.
defs = build_definitions(Project.from_environ(os.environ, Path.cwd()))
