"""Rows named by a caller: claimed from the change buffer, looked up, written or deleted.

The last action an id wins; an upsert whose row is gone is a delete (spec: webhook, "Mode —
records").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.apply_page import apply_page
from semilayer_pipelines.ingest.by_key import all_of, compare_by_key
from semilayer_pipelines.ingest.delete import delete_keys
from semilayer_pipelines.ingest.hidden_rows import refuse_hidden
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page, RowChoice
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action, Change
from semilayer_pipelines.stores.protocol import Index

__all__ = ["CLAIM_ROWS", "apply_changes", "run_records"]

CLAIM_ROWS = 1_000


@dataclass(frozen=True)
class ClaimedRows:
    """Rows whose changes this run has claimed; they are acknowledged with the page."""

    opened: OpenLens
    run: Run
    target: Target

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        """Look the keys of the page up in the index."""
        return compare_by_key(self.target.index, mapped)

    def may_hold(self, keys: pl.Series) -> pl.Series:
        """Say of every key that the index can have it."""
        return all_of(keys)

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Take all of them out: a caller named their rows, as with a delete."""
        return keys

    def reuse_from(self) -> Index | None:
        """Take vectors over from the index itself."""
        return self.target.index

    def cover(self, db: Connection, page: Page, counts: Counts) -> None:
        """Acknowledge the changes of the page's rows."""
        self.acknowledge(db, _keys(self.opened, page))

    def acknowledge(self, db: Connection, keys: Sequence[str]) -> None:
        """Acknowledge the changes of these keys."""
        changes.ack(db, self.run.job_id, keys, self.opened.clock())


def run_records(opened: OpenLens, run: Run, target: Target) -> bool:
    """Claim and apply changes until the buffer is empty; return False when paused on the way."""
    choice = ClaimedRows(opened, run, target)
    while not run.paused():
        claimed = opened.registry.transact(
            lambda db: changes.claim(
                db, opened.lens.id, job_id=run.job_id, limit=CLAIM_ROWS, now=opened.clock()
            )
        )
        if not claimed:
            return True
        apply_changes(opened, run, target, claimed, choice, acknowledge=choice.acknowledge)
    return False


def apply_changes(
    opened: OpenLens,
    run: Run,
    target: Target,
    batch: Sequence[Change],
    choice: RowChoice,
    *,
    acknowledge: Callable[[Connection, Sequence[str]], None] | None = None,
) -> None:
    """Bring the index in sync with the named rows; `batch` has one change a key.

    `acknowledge` commits that keys are deleted, as `choice` does for the rows that are written.
    Raises what `apply_page`, `delete_keys` and the bridge raise.
    """
    with opened.registry.read() as db:
        seq = changes.latest_seq(db, opened.lens.id)
    gone = {change.key for change in batch}
    for page in _looked_up(opened, target, batch, seq):
        gone -= {*_keys(opened, page)}
        apply_page(opened, run, target, page, choice)
    if any(change.action is Action.UPSERT and change.key in gone for change in batch):
        # A row that is hidden is not gone.
        refuse_hidden(opened)
    if gone:
        keys = sorted(gone)
        commit = (lambda db: acknowledge(db, keys)) if acknowledge else None
        delete_keys(opened, run, target, keys, change_seq=seq, commit=commit)


def _looked_up(
    opened: OpenLens, target: Target, batch: Sequence[Change], seq: int
) -> Iterator[Page]:
    """Yield the rows that the batch inserts or updates and the source has, by weight in pages."""
    selection = replace(opened.selection, bounds=target.generation.bounds)
    shard = None if target.generation.bounds else 0
    waiting: Sequence[str] = [c.key for c in batch if c.action is Action.UPSERT]
    while waiting:
        started = time.monotonic()
        read = partial(opened.bridge.read_rows, selection, waiting)
        found = retrying(read, SourceUnreachable)
        page = Page(found.frame, shard, seq, started, refused=found.refused)
        if page.height:
            yield page
        waiting = found.left


def _keys(opened: OpenLens, page: Page) -> list[str]:
    return [*key_texts(page.rows, opened.selection.key), *page.refused]
