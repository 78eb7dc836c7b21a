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
from sqlalchemy import Connection

from semilayer_pipelines.errors import NotFound
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
    """Report how a lens is, unless that was the last thing reported. A removed lens is skipped."""
    try:
        with project.registry.read() as db:
            health = health_of(db, lenses.get(db, env, lens))
    except NotFound:
        return
    key = dg.AssetCheckKey(dg.AssetKey(asset_key(env, lens)), HEALTHY)
    if not _is_news(instance, key, health):
        return
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=health.well,
            severity=dg.AssetCheckSeverity.ERROR,
            description=redact(health.told),
            metadata={
                name: dg.MetadataValue.text(redact(text)) for name, text in health.facts.items()
            },
        )
    )


def _is_news(instance: dg.DagsterInstance, key: dg.AssetCheckKey, health: Health) -> bool:
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
    told = last.evaluation if last is not None else None
    # Of a check that a run is about to look at, Dagster has what was planned.
    if not isinstance(told, dg.AssetCheckEvaluation) or told.passed != health.well:
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
