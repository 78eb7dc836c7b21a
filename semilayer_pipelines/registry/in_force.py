"""The one configuration that a lens's schedule, walks, status and messages use.

A push may need a rebuild. Until it is done the index is kept as it was built, so that it never
holds two configurations (invariant 9). How often it is kept in sync is no part of what it holds.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from semilayer_pipelines.config.orchestrated import FOR_THE_ORCHESTRATOR
from semilayer_pipelines.registry import generations
from semilayer_pipelines.registry.lenses import Lens, Needs

__all__ = ["in_force"]

_AT_ONCE = (
    "smart_sync_interval",
    "full_walk_every",
    "debounce",
    "guard",
    "on_failure",
    "rerank",
    *FOR_THE_ORCHESTRATOR,
)
_FOR_THIS_TABLE = ("sync_interval", "change_tracking_column")


def in_force(db: Connection, lens: Lens) -> Lens:
    """Return the lens with the configuration by which it is kept in sync now.

    While a rebuild is needed that is the one its index was built with. Intervals, debounce,
    guard, `onFailure`, the reranker and what is for the orchestrator are those of the last push or
    change. So is the tracked column where the table is the same.
    """
    active = generations.active(db, lens.id) if lens.needs is Needs.REBUILD else None
    if active is None:
        return lens
    built, pushed = active.config, lens.config
    same_table = (built.source, built.table) == (pushed.source, pushed.table)
    taken = (*_AT_ONCE, *_FOR_THIS_TABLE) if same_table else _AT_ONCE
    return replace(
        lens,
        config=built.model_copy(update={name: getattr(pushed, name) for name in taken}),
        tracked=lens.tracked if same_table else None,
    )
