"""What a lens declares in its file, in Dagster's own terms: dependencies, conditions, columns."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg

from semilayer_pipelines.config.intervals import duration_of
from semilayer_pipelines.config.orchestrated import EAGER, OFF, cron_of
from semilayer_pipelines.control.check_deps import circle_through, lenses_before
from semilayer_pipelines.lens_names import LensName
from semilayer_pipelines.orchestration.catalogue import LensEntry

if TYPE_CHECKING:
    from dagster._core.definitions.declarative_automation.operators import AndAutomationCondition

__all__ = [
    "column_schema",
    "condition",
    "freshness_policy",
    "group",
    "group_of",
    "upstream",
    "without_cycles",
]

_log = logging.getLogger(__name__)


def upstream(deps: Iterable[str]) -> list[dg.AssetDep]:
    """Return a lens's dependencies: any partition of them concerns all of its shards."""
    return [dg.AssetDep(_key(dep), partition_mapping=dg.AllPartitionMapping()) for dep in deps]


def condition(entry: LensEntry, deps: Iterable[str]) -> dg.AutomationCondition[dg.AssetKey] | None:
    """Return when Dagster is to sync the lens; `None` where it says `off`, or waits for nothing.

    Only the lens's own `deps` count, not the other assets that it is drawn behind. Dagster's own
    `eager()` forgets an update that its next look after a request finds, and what a sync of another
    origin may have read too early; here an update is handled by a request that comes after it.
    """
    keys = [_key(dep) for dep in deps]
    if entry.automation == OFF or (entry.automation == EAGER and not keys):
        return None
    cron = cron_of(entry.automation)
    found = _after_each() if cron is None else _after_all(cron)
    return found.allow(dg.AssetSelection.assets(*keys)).with_label(entry.automation)


def _after_each() -> AndAutomationCondition[Any]:
    updated = dg.AutomationCondition.any_deps_updated()
    handled = dg.AutomationCondition.newly_requested() & ~updated
    return updated.since(handled) & ~dg.AutomationCondition.any_deps_in_progress()


def _after_all(cron: str) -> AndAutomationCondition[Any]:
    begun = dg.AutomationCondition.initial_evaluation()
    handled = dg.AutomationCondition.newly_requested() | begun
    passed = dg.AutomationCondition.cron_tick_passed(cron).since(handled)
    return passed & dg.AutomationCondition.all_deps_updated_since_cron(cron)


def freshness_policy(entry: LensEntry) -> dg.FreshnessPolicy | None:
    """Return how old the lens's index may get, `None` where the lens does not say."""
    if entry.freshness is None:
        return None
    return dg.FreshnessPolicy.time_window(fail_window=duration_of(entry.freshness))


def column_schema(entry: LensEntry) -> dg.TableSchema:
    """Return the fields of a lens as columns, with their types in the configuration's words."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name, kind, description="embedded" if name in entry.searchable else None)
            for name, kind in entry.columns
        ]
    )


def group(entry: LensEntry) -> str:
    """Return the asset group of a lens."""
    return entry.group or group_of(entry.env)


def group_of(env: str) -> str:
    """Return the asset group of an environment."""
    return env.replace("-", "_")


def without_cycles(entries: Iterable[LensEntry]) -> dict[LensEntry, tuple[str, ...]]:
    """Return the `deps` of each lens, less those that would close a circle of lenses.

    A push refuses a circle, and pushes to two environments at once can make one. It keeps a
    location from loading, and one lens must not do that to the others.
    """
    entry_of = {LensName(entry.env, entry.name): entry for entry in entries}
    deps = {lens: entry.deps for lens, entry in entry_of.items()}
    before = lenses_before(deps)
    for lens in tuple(before):
        while circle := circle_through(lens, before):
            earlier = (*circle, lens)[1]
            _log.warning(
                "The lens %r of %r is made by itself, by way of its `deps`; it is shown without "
                "those on %r. Take them out and push.",
                lens.lens,
                lens.env,
                earlier.lens,
            )
            deps[lens] = tuple(dep for dep in deps[lens] if dep not in earlier.asset_keys)
            before = lenses_before(deps)
    return {entry_of[lens]: left for lens, left in deps.items()}


def _key(dep: str) -> dg.AssetKey:
    return dg.AssetKey(dep.split("/"))
