"""The index of a generation: one that was written, one that never was, or one that is lost.

A generation has its dimension from the moment its index is made. So a generation with a dimension
and without an index has lost it, and "nothing found" would be a wrong answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from semilayer_pipelines.errors import IndexDamaged
from semilayer_pipelines.registry import generations
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.generations import Generation

if TYPE_CHECKING:  # it imports Polars, which `semilayer status` need not wait for
    from semilayer_pipelines.stores.chunks.protocol import RowIndex, RowStore

__all__ = ["written_index"]


def written_index(registry: Registry, store: RowStore, active: Generation) -> RowIndex | None:
    """Return the index of the active generation, `None` when nothing was ever written to it.

    Returns `None` too when another generation took its place meanwhile and it was dropped. Raises
    `IndexDamaged` when it is lost or cannot be opened.
    """
    index = store.find(active.index_name)
    if index is not None:
        return index
    with registry.read() as db:
        now = generations.active(db, active.lens_id)
    if now is None or now.id != active.id or now.dimension is None:
        return None
    raise IndexDamaged(
        f"The index {active.index_name} is gone from the store.",
        cure="Is its disk mounted, or the store another one? If it is lost, rebuild the lens: "
        "`semilayer verify --heal` queues that.",
    )
