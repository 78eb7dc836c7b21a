"""What the tests of Dagster's layer start from, and what they look at afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from semilayer_pipelines.orchestration.assets import lens_assets
from semilayer_pipelines.orchestration.catalogue import LensEntry, read_catalogue
from semilayer_pipelines.orchestration.jobs import lens_jobs
from semilayer_pipelines.orchestration.names import RESOURCE
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Job
from tests.lab import ENV, Lab

SHARDS = dg.AssetKey([ENV, "items"])
PUBLISHED = dg.AssetKey([ENV, "items", "items_published"])


def materialise(
    lab: Lab, instance: dg.DagsterInstance, partition: str
) -> dg.ExecuteInProcessResult:
    """Materialise one partition of the lens, as the UI does."""
    shards, published = lens_assets(_entry(lab), lab.project.settings.store)
    assert isinstance(shards, dg.AssetsDefinition)
    return dg.materialize(
        [shards, published],
        partition_key=partition,
        resources={RESOURCE: lab.project},
        instance=instance,
        raise_on_error=False,
    )


def _entry(lab: Lab) -> LensEntry:
    return next(e for e in read_catalogue(lab.project) if e.env == ENV and e.name == "items")


def job_named(lab: Lab, name: str) -> dg.JobDefinition:
    return next(job for job in lens_jobs(read_catalogue(lab.project)) if job.name == name)


def launch(
    lab: Lab,
    instance: dg.DagsterInstance,
    name: str,
    *,
    tags: Mapping[str, str] | None = None,
    **config: object,
) -> dg.ExecuteInProcessResult:
    """Run one of the project's jobs, as launched with this run configuration."""
    run_config = {"ops": {f"run_{name}": {"config": {"env": ENV, "lens": "items"} | config}}}
    return job_named(lab, name).execute_in_process(
        run_config=run_config,
        resources={RESOURCE: lab.project},
        instance=instance,
        tags=tags,
        raise_on_error=False,
    )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return what a failed run says in Dagster's UI, everything that its events hold."""
    failed = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    assert len(failed) == 1, "the run did not fail in one step"
    data = failed[0].step_failure_data
    description = data.user_failure_data.description if data.user_failure_data else None
    assert description, "the failure has no words of ours"
    return description


def materialised(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[dg.AssetMaterialization]:
    """Return the materialisations of an asset, the oldest first."""
    found = instance.fetch_materializations(key, limit=100).records
    return [record.asset_materialization for record in found if record.asset_materialization][::-1]


def numbers(materialisation: dg.AssetMaterialization) -> dict[str, float]:
    """Return the numeric metadata by name."""
    return {
        name: value.value
        for name, value in materialisation.metadata.items()
        if isinstance(value.value, int | float)
    }


def all_jobs(lab: Lab) -> list[Job]:
    """Return the jobs of the project, the oldest first."""
    with lab.project.registry.read() as db:
        return jobs.recent(db, limit=100)[::-1]


def job_row(lab: Lab, job_id: str) -> Job:
    with lab.project.registry.read() as db:
        return jobs.get(db, job_id)
