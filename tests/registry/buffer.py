"""The change buffer in few words: `+a` upserts a, `-a` deletes it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from semilayer_pipelines.registry import changes, tables
from semilayer_pipelines.registry.changes import Action, Change
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import Lens
from tests.registry.given import NOW, at

__all__ = ["DELETE", "UPSERT", "ack", "append", "buffered", "claim", "prune", "shown"]

UPSERT, DELETE = Action.UPSERT, Action.DELETE


def append(registry: Registry, lens: Lens, *given: str) -> int:
    """Append changes: `+a` upserts a, `-a` deletes it."""
    actions = {"+": UPSERT, "-": DELETE}
    with registry.begin() as db:
        return changes.append(db, lens.id, [(x[1:], actions[x[0]]) for x in given], NOW)


def claim(registry: Registry, lens: Lens, job_id: str = "job-1", limit: int = 100) -> list[Change]:
    with registry.begin() as db:
        return changes.claim(db, lens.id, job_id=job_id, limit=limit, now=NOW)


def ack(registry: Registry, keys: Sequence[str], job_id: str = "job-1") -> int:
    with registry.begin() as db:
        return changes.ack(db, job_id, keys, at(1))


def prune(registry: Registry, applied_before: float) -> int:
    with registry.begin() as db:
        return changes.prune(db, at(applied_before), after=0, limit=100).changes


def shown(claimed: list[Change]) -> list[str]:
    return [("+" if change.action is UPSERT else "-") + change.key for change in claimed]


def buffered(registry: Registry, lens: Lens) -> int:
    """Return the size of the buffer, which must be that of the rows counted."""
    with registry.read() as db:
        told = changes.buffered(db, lens.id)
        waiting = tables.changes.c.applied_at.is_(None) & (tables.changes.c.lens_id == lens.id)
        assert told == db.scalar(select(func.count()).where(waiting))
    return told
