"""Syncs that Dagster's automation conditions ask for: "when my model is done, sync its lens".

Dagster evaluates the conditions, and the catalogue shows what it found. Its request becomes a job
of the registry, as a schedule's does, and `due_jobs` launches that: one run a lens however many
shards it has, beside no other of its kind, and tried again as every job is.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import uuid4
from zlib import crc32

import dagster as dg
from dagster._core.definitions.metadata import RawMetadataMapping
from dagster._core.definitions.sensor_definition import SensorExecutionData
from dagster._core.definitions.target import ExecutableDefinition

from semilayer_pipelines.control.lifecycle import cheapest_mode
from semilayer_pipelines.errors import NotFound, RegistryUnavailable
from semilayer_pipelines.orchestration.names import AUTOMATION, RESOURCE
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, jobs, lenses

__all__ = ["automation_sensors", "request_syncs"]

# It cannot be done without, and whoever reads the log can change nothing.
warnings.filterwarnings("ignore", r"Parameter `use_user_code_server`", dg.BetaWarning)

MOST_LENSES = 400
"""Lenses of one sensor; Dagster takes 500 where conditions are evaluated beside the code."""

ORIGIN = "automation"


def automation_sensors(assets: Iterable[dg.AssetsDefinition]) -> list[dg.SensorDefinition]:
    """Return what evaluates the conditions of these assets; nothing where there are none.

    A lens stays with its sensor while others come and go, because the sensor's cursor knows it.
    """
    keys = [key for asset in assets for key in asset.automation_conditions_by_key]
    number = -(-len(keys) // MOST_LENSES)
    shares: defaultdict[int, list[dg.AssetKey]] = defaultdict(list)
    for key in keys:
        shares[crc32(key.to_user_string().encode()) % number].append(key)
    return [
        _sensor(AUTOMATION if n == 0 else f"{AUTOMATION}_{n + 1}", share)
        for n, share in sorted(shares.items())
    ]


def _sensor(name: str, keys: Sequence[dg.AssetKey]) -> _LensAutomation:
    return _LensAutomation(
        name,
        target=dg.AssetSelection.assets(*keys),
        description="Evaluates the `automation` of the lenses, and queues their syncs.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        # One request for each shard, instead of a backfill: they become one job.
        emit_backfills=False,
        use_user_code_server=True,
    )


class _LensAutomation(dg.AutomationConditionSensorDefinition):
    """Dagster's own sensor for conditions, whose requests become jobs instead of runs."""

    @property
    def required_resource_keys(self) -> set[str]:
        return {RESOURCE}

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> SensorExecutionData:
        found = super().evaluate_tick(context)
        asked = {
            key for request in found.run_requests or () for key in request.asset_selection or ()
        }
        if not asked:
            return found
        try:
            told = request_syncs(getattr(context.resources, RESOURCE), asked)
        except RegistryUnavailable as error:
            # With the old cursor the next tick finds the same.
            return SensorExecutionData(cursor=context.cursor, skip_message=str(error))
        context.log.info(told)
        return SensorExecutionData(
            cursor=found.cursor,
            skip_message=told,
            automation_condition_evaluations=found.automation_condition_evaluations,
        )

    def with_attributes(
        self,
        *,
        jobs: Sequence[ExecutableDefinition] | None = None,
        metadata: RawMetadataMapping | None = None,
    ) -> _LensAutomation:
        return _LensAutomation(
            self.name,
            target=self.asset_selection,
            description=self.description,
            default_status=self.default_status,
            minimum_interval_seconds=self.minimum_interval_seconds,
            metadata=self.metadata if metadata is None else metadata,
            emit_backfills=self.emit_backfills,
            use_user_code_server=True,
        )


def request_syncs(project: Project, asked: Iterable[dg.AssetKey]) -> str:
    """Queue a sync of each lens by the cheapest mode that sees a change; say what became of each.

    The job of a paused lens waits for its resumption. A sync that runs may have read past the
    change already, so another one is queued behind it. Raises `RegistryUnavailable`.
    """
    told: Mapping[str, list[str]] = {"Queued": [], "Passed over": []}
    for key in sorted(asked):
        env, name = key.path[:2]
        why = _request(project, env, name)
        if why is None:
            told["Queued"].append(f"{env}/{name}")
        else:
            told["Passed over"].append(f"{env}/{name} ({why})")
    return " ".join(f"{what}: {', '.join(names)}." for what, names in told.items() if names)


def _request(project: Project, env: str, name: str) -> str | None:
    """Queue the sync of a lens; return why there is nothing to queue."""
    now = project.clock()
    try:
        with project.registry.begin() as db:
            lens = lenses.get(db, env, name)
            if generations.active(db, lens.id) is None:
                return "no index yet"
            mode = cheapest_mode(db, lens)
            asked = jobs.request(db, lens, mode, job_id=uuid4().hex, origin=ORIGIN, now=now)
    except NotFound:
        return "it was removed"
    return "a sync that will see the change waits already" if asked.deduplicated else None
