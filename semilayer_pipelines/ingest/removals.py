"""Objects that an incremental job takes out because their rows must not be found, and its guard.

A walk by the tracked column sees no deletes. It does see rows whose text became empty, and a
mistake can empty a whole column in one statement.
"""

from __future__ import annotations

from collections.abc import Sequence

from semilayer_pipelines.errors import GuardStopped
from semilayer_pipelines.ingest.guard import Guard
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import page_log

__all__ = ["Removals"]

SHOWN_KEYS = 10


class Removals:
    """How many objects a job has taken out, in all its attempts, and how many it may."""

    def __init__(self, opened: OpenLens, *, done: int, limit: int) -> None:
        self._opened = opened
        self._done = done
        self._limit = limit

    @classmethod
    def of(cls, opened: OpenLens, run: Run, target: Target) -> Removals:
        """Begin with what earlier attempts of the job took out: its cursor has passed those."""
        with opened.registry.read() as db:
            done = page_log.total(db, run.job_id).deleted
        indexed = target.index.count() if target.index else 0
        limit = Guard(opened.lens.config.guard).limit(indexed + done, rows_read=1)
        return cls(opened, done=done, limit=limit)

    def allowed(self, keys: Sequence[str]) -> Sequence[str]:
        """Count the keys and return them; raise `GuardStopped` when there were too many."""
        if self._done + len(keys) > self._limit:
            name = self._opened.lens.name
            raise GuardStopped(
                f"Incremental ingest would take more than {self._limit:,} rows out of the index "
                f"because they have no text or cannot be mapped, among them "
                f"{', '.join(keys[:SHOWN_KEYS])}. These stay.",
                cure="If it is as it should be, confirm: "
                f"`semilayer sync --lens {name} --confirm-deletes`.",
                lens=name,
            )
        self._done += len(keys)
        return keys
