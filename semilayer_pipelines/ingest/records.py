"""Rows named by a caller: claimed from the change buffer, and applied (see `apply_changes`)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.apply_changes import LOOKS_AGAIN, apply_changes
from semilayer_pipelines.ingest.by_key import all_of, compare_by_key
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import changes, failed_rows, jobs
from semilayer_pipelines.registry.changes import Change
from semilayer_pipelines.stores.chunks.protocol import RowIndex

__all__ = ["CLAIM_ROWS", "SHARE_SECONDS", "run_records"]

CLAIM_ROWS = 1_000

SHARE_SECONDS = 60.0
"""A records job applies what comes meanwhile for so long; then the next job goes on with it.

A lens that is called without a pause would otherwise have one job that never ends, and an index
that nobody maintains.
"""


WAITS = (timedelta(0), *LOOKS_AGAIN)
"""The waits before a row is looked at again that a walk may have read later than this run."""

CLOCKS_APART = timedelta(seconds=5)
"""How far the clocks of two runs may be apart: both go by the registry's."""


@dataclass(frozen=True)
class ClaimedRows:
    """Rows whose changes this run has claimed at `claimed_at`; acknowledged with the page."""

    opened: OpenLens
    run: Run
    target: Target
    due_at: datetime
    claimed_at: datetime
    claimed: Sequence[Change]

    @classmethod
    def taken(cls, opened: OpenLens, run: Run, target: Target, due_at: datetime) -> ClaimedRows:
        """Claim the next changes that are due; raise `Fenced` when the lease is lost."""
        now = opened.clock()

        def claim(db: Connection) -> list[Change]:
            run.lease.check(db)  # whoever has lost the job would keep what it claims from the next
            at = max(now, due_at)
            return changes.claim(db, opened.lens.id, job_id=run.job_id, limit=CLAIM_ROWS, now=at)

        return cls(opened, run, target, due_at, now, opened.registry.transact(claim))

    def now(self) -> datetime:
        """Return what counts as now: a job that is run early does what would be due with it."""
        return max(self.opened.clock(), self.due_at)

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        """Look the keys of the page up in the index."""
        return compare_by_key(self.target.index, mapped)

    def may_hold(self, keys: pl.Series) -> pl.Series:
        """Say of every key that the index can have it."""
        return all_of(keys)

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Take all of them out: a caller named their rows, as with a delete."""
        return keys

    def reuse_from(self) -> RowIndex | None:
        """Take vectors over from the index itself."""
        return self.target.index

    def cover(self, db: Connection, page: Page, counts: Counts) -> None:
        """Acknowledge the changes of the page's rows."""
        keys = [*key_texts(page.rows, self.opened.selection.key), *page.refused]
        if counts.written + counts.deleted:
            self.acknowledge_look(db, keys)
        else:
            self.acknowledge(db, keys)

    def acknowledge_look(self, db: Connection, keys: Sequence[str]) -> None:
        """Acknowledge rows that were written or deleted as the source had them at a look.

        A walk may have read one of them after that look, and its cursor be past it. Then the row
        is looked at once more, until a look finds the index as it should be (invariant 4).
        """
        if not jobs.walked_since(db, self.opened.lens.id, self.claimed_at - CLOCKS_APART):
            self.acknowledge(db, keys)
            return
        found = {change.key: -change.looks for change in self.claimed if change.looks < 0}
        for before, wait in enumerate(WAITS):
            last = len(WAITS) - 1
            again = [key for key in keys if min(found.get(key, 0), last) == before]
            changes.put_off(db, self.run.job_id, again, self.now() + wait, found=True)

    def acknowledge(self, db: Connection, keys: Sequence[str]) -> None:
        """Acknowledge the changes of these keys."""
        changes.ack(db, self.run.job_id, keys, self.opened.clock())

    def rename(self, names: Mapping[str, str]) -> None:
        """Have the buffer know changes by the keys of their rows."""

        def rename(db: Connection) -> None:
            self.run.lease.check(db)
            changes.rename(db, self.run.job_id, names)

        self.opened.registry.transact(rename)

    def put_off(self, keys: Sequence[str], wait: timedelta) -> None:
        """Give changes back whose rows are not there; nobody takes them before the wait is over."""
        until = self.now() + wait

        def put_off(db: Connection) -> None:
            self.run.lease.check(db)
            changes.put_off(db, self.run.job_id, keys, until)

        self.opened.registry.transact(put_off)

    def set_aside(self, reasons: Mapping[str, str]) -> None:
        """Note changes that can name no row, and why, as failed rows."""
        failed = {
            id: ("reading", f"no row of the table can have this id: {why}")
            for id, why in reasons.items()
        }
        lens_id, now = self.opened.lens.id, self.opened.clock()

        def set_aside(db: Connection) -> None:
            self.run.lease.check(db)
            failed_rows.record(db, lens_id, failed, job_id=self.run.job_id, now=now)
            self.acknowledge(db, list(failed))

        self.opened.registry.transact(set_aside)


def run_records(opened: OpenLens, run: Run, target: Target, *, due_at: datetime) -> bool:
    """Claim and apply changes until none is due; return False when paused on the way.

    After `SHARE_SECONDS` the rest is left to the next job.
    """
    until = time.monotonic() + SHARE_SECONDS
    while not run.paused():
        rows = ClaimedRows.taken(opened, run, target, due_at)
        if not rows.claimed:
            return True
        # Apart: a page with something to write would have the rows looked at again that are done.
        for first in (False, True):
            some = [change for change in rows.claimed if (change.looks >= 0) is first]
            if some:
                apply_changes(opened, run, target, some, rows, rows)
        if time.monotonic() > until:
            return True
    return False
