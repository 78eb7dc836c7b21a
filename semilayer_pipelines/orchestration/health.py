"""The state of a lens on its asset, as the check `healthy`, told when it changes.

A run tells it when it failed, and when it mended what had failed. The sensor tells what it did
itself about runs that are gone, and whatever else changed since its last tick: a lens may be paused
or pushed without a run. Nothing is told twice.

The evaluations belong to no run. Those of a run would be forgotten with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import dagster as dg

# Not public, but without it Dagster takes a report for one of an earlier materialisation.
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Materialised,
)
from sqlalchemy import Connection

from semilayer_pipelines.errors import NotFound, RegistryUnavailable
from semilayer_pipelines.orchestration.names import HEALTHY, asset_key
from semilayer_pipelines.project import Project
from semilayer_pipelines.queries.health import Health, health_of
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import lenses

__all__ = ["Failing", "failing_now", "tell_changes", "tell_health"]

MAX_TOLD = 50
"""Lenses that a tick reports; each takes up to a tenth of a second."""

Failing = Mapping[str, str]
"""Lenses in `error`, by environment and name, each with a sum of what is wrong with it."""


def tell_health(instance: dg.DagsterInstance, project: Project, env: str, lens: str) -> None:
    """Report how a lens is, unless that was the last thing reported of what it is now.

    A lens that was removed is skipped, and so is one that the registry cannot tell of now.
    """
    try:
        with project.registry.read() as db:
            health = health_of(db, lenses.get(db, env, lens))
    except (NotFound, RegistryUnavailable):
        return
    key = dg.AssetCheckKey(dg.AssetKey(asset_key(env, lens)), HEALTHY)
    of = _materialised(instance, key.asset_key)
    if not _is_news(instance, key, health, of):
        return
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=health.well,
            severity=dg.AssetCheckSeverity.ERROR,
            description=redact(health.told),
            target_materialization_data=of,
            metadata={
                name: dg.MetadataValue.text(redact(text)) for name, text in health.facts.items()
            },
        )
    )


def _materialised(instance: dg.DagsterInstance, key: dg.AssetKey) -> Materialised | None:
    """Return the last materialisation: Dagster shows no report of an earlier one."""
    records = instance.fetch_materializations(key, limit=1).records
    if not records:
        return None
    last = records[0]
    return Materialised(storage_id=last.storage_id, run_id=last.run_id, timestamp=last.timestamp)


def _is_news(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, health: Health, of: Materialised | None
) -> bool:
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    told = last.evaluation if last is not None else None
    # Of a check that a run is about to look at, Dagster has what was planned.
    if not isinstance(told, dg.AssetCheckEvaluation) or told.passed != health.well:
        return True
    if of is not None and told.target_materialization_data != of:
        return True
    return not health.well and told.description != redact(health.told)


def failing_now(db: Connection) -> Failing:
    """Return the lenses in `error`."""
    return {
        f"{env}/{lens}": f"{crc32(error.encode()):08x}" for env, lens, error in lenses.errors(db)
    }


def tell_changes(
    instance: dg.DagsterInstance, project: Project, before: Failing, now: Failing
) -> Failing:
    """Report the lenses that began or ceased to fail, or fail in another way.

    At most `MAX_TOLD` at a time. Returns what is reported: `before`, with those brought up to date.
    """
    told = dict(before)
    for name in sorted(dict(before.items() ^ now.items()))[:MAX_TOLD]:
        env, lens = name.split("/", 1)
        tell_health(instance, project, env, lens)
        if name in now:
            told[name] = now[name]
        else:
            del told[name]
    return told
