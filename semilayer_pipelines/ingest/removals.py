"""Objects that an incremental job takes out because their rows must not be found, and its guard.

A walk by the tracked column sees no deletes. It does see rows whose text became empty, and those
that the lens's `where` leaves out now; one statement can do that to a whole table.
"""

from __future__ import annotations

from collections.abc import Sequence

from semilayer_pipelines.errors import GuardStopped
from semilayer_pipelines.ingest.guard import SHOWN_KEYS, Guard
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import page_log

__all__ = ["Removals"]


class Removals:
    """How many objects a job has taken out, in all its attempts, and how many it may."""

    def __init__(self, opened: OpenLens, *, indexed: int, done: int, limit: int) -> None:
        self._opened = opened
        self._indexed = indexed
        self._done = done
        self._limit = limit

    @classmethod
    def of(cls, opened: OpenLens, run: Run, target: Target) -> Removals:
        """Begin with what earlier attempts of the job took out: its cursor has passed those."""
        with opened.registry.read() as db:
            done = page_log.total(db, run.job_id).deleted
        indexed = done + (target.index.count() if target.index else 0)
        limit = Guard(opened.lens.config.guard).limit(indexed, rows_read=1)
        return cls(opened, indexed=indexed, done=done, limit=limit)

    def allowed(self, keys: Sequence[str]) -> Sequence[str]:
        """Count the keys and return them; raise `GuardStopped` when there were too many.

        Where none is to go there is nothing to stop: an earlier attempt may have taken out more
        than is allowed now, because a sync that was confirmed made the index smaller.
        """
        out = self._done + len(keys)
        if keys and out > self._limit:
            name = self._opened.lens.name
            raise GuardStopped(
                f"Incremental ingest would take {out:,} or more of {self._indexed:,} indexed rows "
                f"({out / self._indexed:.1%}) out of the index, among them "
                f"{', '.join(keys[:SHOWN_KEYS])}: they have no text, cannot be mapped or are left "
                f"out by 'where'. Its guard allows {self._limit:,}. These stay.",
                cure="If it is as it should be, confirm: "
                f"`semilayer sync --lens {name} --confirm-deletes`.",
                lens=name,
            )
        self._done = out
        return keys
