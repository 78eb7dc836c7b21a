"""As of when an index is: whatever its table held then, a walk has brought in."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.registry import jobs, quiet
from semilayer_pipelines.registry.jobs import Mode

__all__ = ["as_of"]


def as_of(db: Connection, lens_id: int, modes: Collection[Mode]) -> datetime | None:
    """Return when the last walk of these modes began that completed; `None` before the first.

    A schedule that found nothing to read counts as one.
    """
    known = (jobs.last_began(db, lens_id, modes), quiet.last(db, lens_id, modes))
    return max((at for at in known if at is not None), default=None)
