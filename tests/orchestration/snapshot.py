"""All that Dagster is told of a small project, as plain text that a person can read a diff of.

Renew the file after a change that is meant: `python -m tests.orchestration.snapshot`
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._config.config_type import ConfigType
from dagster._core.definitions.asset_selection import AssetSelection
from dagster._core.definitions.dependency import NodeHandle

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.orchestration.build_definitions import build_definitions
from semilayer_pipelines.project import Project, Settings
from tests.lab import lens_config
from tests.workload import create_items

__all__ = ["FILE", "snapshot_of_a_project"]

FILE = Path(__file__).with_name("definitions.snapshot.json")


def snapshot_of_a_project(folder: Path, environ: dict[str, str] | None = None) -> str:
    """Return the definitions of two lenses, one of them in four shards, as JSON."""
    create_items(folder / "source.db", 3)
    settings = Settings.from_environ(environ or {}, folder)
    project = Project(settings, environ or {})
    config = ProjectConfig.model_validate(
        {
            "stack": "test",
            "sources": {
                "main": {"bridge": "sql", "connection": f"sqlite:///{folder / 'source.db'}"}
            },
            "lenses": {
                "books": lens_config(syncInterval="5m", smartSyncInterval="24h"),
                "papers": lens_config(shards=4, embedding={"provider": "hash", "dimensions": 8}),
            },
        }
    )
    apply_push(project, plan_push(project, config, "development"))
    return json.dumps(snapshot(build_definitions(project)), indent=1, sort_keys=True) + "\n"


def snapshot(definitions: dg.Definitions) -> dict[str, Any]:
    """Return what definitions say of themselves, in lists whose order is always the same."""
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    return {
        "assets": {
            key.to_user_string(): _asset(graph.get(key)) for key in graph.get_all_asset_keys()
        },
        "checks": {
            f"{key.asset_key.to_user_string()}: {key.name}": _check(graph.get_check_spec(key))
            for key in graph.asset_check_keys
        },
        "executor": getattr(definitions.executor, "name", None),
        "jobs": {
            job.name: _job(job)
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        },
        "loggers": sorted(definitions.loggers or {}),
        "resources": sorted(definitions.resources or {}),
        "schedules": {schedule.name: _schedule(schedule) for schedule in repository.schedule_defs},
        "sensors": {sensor.name: _sensor(sensor) for sensor in repository.sensor_defs},
    }


def _asset(node: Any) -> dict[str, Any]:
    spec = node.to_asset_spec()
    partitions = spec.partitions_def
    return {
        "automation": repr(spec.automation_condition) if spec.automation_condition else None,
        "code_version": spec.code_version,
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "description": spec.description,
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "metadata": {name: _plain(value) for name, value in spec.metadata.items()},
        "owners": list(spec.owners),
        "partitions": partitions.get_partition_keys() if partitions else None,
        "resources": sorted(node.assets_def.required_resource_keys),
        "tags": {n: v for n, v in spec.tags.items() if not n.startswith("dagster/kind/")},
    }


def _check(spec: dg.AssetCheckSpec) -> dict[str, Any]:
    return {
        "blocking": spec.blocking,
        "description": spec.description,
        "metadata": {name: _plain(value) for name, value in spec.metadata.items()},
    }


def _job(job: dg.JobDefinition) -> dict[str, Any]:
    return {
        "assets and checks": sorted(
            key.to_user_string()
            for node in job.graph.nodes
            for key in job.asset_layer.get_selected_entity_keys_for_node(
                NodeHandle(node.name, None)
            )
        ),
        "description": job.description,
        "executor": job.executor_def.name,
        "ops": {node.name: _op(node.definition) for node in job.graph.nodes},
        "partitions": job.partitions_def.get_partition_keys() if job.partitions_def else None,
        "tags": dict(job.tags),
    }


def _op(op: Any) -> dict[str, Any]:
    return {
        "config": _config(op.config_schema.config_type) if op.has_config_field else None,
        "description": op.description,
        "resources": sorted(op.required_resource_keys),
    }


def _config(kind: ConfigType) -> Any:
    fields = getattr(kind, "fields", None)
    if fields is None:
        return kind.given_name or kind.key
    return {
        name: {
            "default": field.default_value if field.default_provided else None,
            "description": field.description,
            "required": field.is_required,
            "type": _config(field.config_type),
        }
        for name, field in fields.items()
    }


def _schedule(schedule: dg.ScheduleDefinition) -> dict[str, Any]:
    return {
        "cron": schedule.cron_schedule,
        "default": schedule.default_status.value,
        "description": schedule.description,
        "job": schedule.job_name,
        "resources": sorted(schedule.required_resource_keys),
        "tags": dict(schedule.tags),
        "timezone": schedule.execution_timezone,
    }


def _sensor(sensor: dg.SensorDefinition) -> dict[str, Any]:
    selection = sensor.asset_selection
    return {
        "assets": str(selection) if isinstance(selection, AssetSelection) else None,
        "default": sensor.default_status.value,
        "description": sensor.description,
        "jobs": sorted(target.job_name for target in sensor.targets),
        "resources": sorted(sensor.required_resource_keys),
        "seconds": sensor.minimum_interval_seconds,
        # One of them has a value of its own in each project.
        "tags": sorted(sensor.tags),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else repr(value)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        FILE.write_text(snapshot_of_a_project(Path(scratch)), encoding="utf-8")
