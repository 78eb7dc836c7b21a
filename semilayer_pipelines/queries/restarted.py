"""Indexes in use whose store was started again since a write last looked at it; nothing is noted.

Only a look under the write lock is noted (see `ingest.store_restart`).
"""

from __future__ import annotations

from collections.abc import Sequence

from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.stores.protocol import OWN_CONNECTION, Index

__all__ = ["is_another", "restarted"]


def is_another(index: Index, generation: Generation) -> bool:
    """Say whether the store under a generation is another start than was seen, if it tells."""
    own = _told(index)
    return own is not None and generation.incarnation not in (None, own)


def restarted(project: Project, env: str, watched: Sequence[Generation]) -> list[Generation]:
    """Return those generations of an environment whose store is another start than was seen.

    They are in one store, so one index is asked for all, and the others only where what was seen
    under them differs. Raises what the store raises.
    """
    store = project.store(env)
    told: str | None = None
    again: list[Generation] = []
    for generation in watched:
        if told is not None and generation.incarnation == told:
            continue
        index = store.find(generation.index_name)
        own = None if index is None else _told(index)
        if own is None:
            continue
        told = told or own
        if own != generation.incarnation:
            again.append(generation)
    return again


def _told(index: Index) -> str | None:
    """Return which start of the store answers; `None` where it tells that of a connection only."""
    own = index.incarnation()
    return None if own is None or own.startswith(OWN_CONNECTION) else own
