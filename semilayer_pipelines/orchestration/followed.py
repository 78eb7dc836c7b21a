"""What Dagster is told of syncs, where a lens asked it to follow: for its conditions and freshness.

Dagster judges an asset by its last materialisation. A sync of such a lens is one, although it fills
no shard; so is a tick that finds nothing to read, because the index is as new as its table then.
"""

from __future__ import annotations

from time import time as now
from typing import TYPE_CHECKING

import dagster as dg

from semilayer_pipelines.config.intervals import duration_of
from semilayer_pipelines.config.orchestrated import OFF
from semilayer_pipelines.orchestration.names import published_key
from semilayer_pipelines.orchestration.reporting import (
    Context,
    changed_index,
    log_index,
    log_materialisations,
)
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import Lens

if TYPE_CHECKING:
    from semilayer_pipelines.ingest.run_job import Outcome

__all__ = ["log_walk", "note_unchanged"]

_WALKS = (Mode.INCREMENTAL, Mode.SMART_SYNC)

SHARE = 4
"""A lens without changes is noted this many times before it would count as stale."""


def log_walk(context: Context, project: Project, job: Job, outcome: Outcome) -> None:
    """Record a completed sync as the materialisation that conditions and freshness look for."""
    from semilayer_pipelines.ingest.run_job import RunEnd

    if job.mode not in _WALKS or outcome.ended is not RunEnd.COMPLETED:
        return
    with project.registry.read() as db:
        lens = lenses.by_id(db, job.lens_id)
    automated = lens.config.automation != OFF
    if automated:
        log_materialisations(context, project, job, outcome, None, lens.config.shards)
    followed = automated or lens.config.freshness is not None
    if followed and not changed_index(outcome):
        log_index(context, job.env, job.lens, outcome)


def note_unchanged(instance: dg.DagsterInstance, lens: Lens) -> None:
    """Tell Dagster that an index is fresh although nothing was read, unless it knows."""
    if lens.config.freshness is None:
        return
    key = dg.AssetKey(published_key(lens.env, lens.name))
    known = instance.get_latest_materialization_event(key)
    age = duration_of(lens.config.freshness).total_seconds() / SHARE
    if known is not None and now() - known.timestamp > age:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(key, metadata={"unchanged": "nothing was written to its table"})
        )
