"""Rows named by a caller: claimed from the change buffer, looked up, written or deleted.

The last action an id wins; an upsert whose row is gone is a delete (spec: webhook, "Mode —
records").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from semilayer_pipelines.bridges.row_key import key_text_expr
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.delete import delete_keys
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Commit, Comparison, Page, apply_page, nothing_known
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action, Change
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH, Index

__all__ = ["CLAIM_ROWS", "Covering", "apply_changes", "compare_by_key", "run_records"]

CLAIM_ROWS = 1_000
_INDEXED = "_indexed"

Covering = Callable[[Sequence[str]], Commit | None]
"""What commits the claim on these keys once they are written."""


def run_records(opened: OpenLens, run: Run, target: Target) -> bool:
    """Claim and apply changes until the buffer is empty; return False when paused on the way."""

    def acknowledge(keys: Sequence[str]) -> Commit:
        def commit(db: Connection, _: Counts) -> None:
            changes.ack(db, run.job_id, keys, opened.clock())

        return commit

    while not run.paused():
        with opened.registry.begin() as db:
            claimed = changes.claim(
                db, opened.lens.id, job_id=run.job_id, limit=CLAIM_ROWS, now=opened.clock()
            )
        if not claimed:
            return True
        apply_changes(opened, run, target, claimed, covering=acknowledge, vectors_from=target.index)
    return False


def apply_changes(
    opened: OpenLens,
    run: Run,
    target: Target,
    batch: Sequence[Change],
    *,
    covering: Covering,
    vectors_from: Index | None,
) -> None:
    """Bring the index in line with the named rows; `batch` has one change a key.

    Raises what `apply_page`, `delete_keys` and the bridge raise.
    """
    started = time.monotonic()
    with opened.registry.read() as db:
        seq = changes.latest_seq(db, opened.lens.id)
    upserts = [change.key for change in batch if change.action is Action.UPSERT]
    selection = replace(opened.selection, bounds=target.generation.bounds)
    found = retrying(lambda: opened.bridge.read_rows(selection, upserts), SourceUnreachable).frame
    there = found.select(key_text_expr(selection.key)).to_series()
    gone = sorted({change.key for change in batch} - set(there.to_list()))
    if found.height:
        apply_page(
            opened,
            run,
            target,
            Page(found, None if target.generation.bounds else 0, seq, started),
            compare=lambda mapped: compare_by_key(target.index, mapped),
            vectors_from=vectors_from,
            commit=covering(there.to_list()),
        )
    if gone:
        delete_keys(opened, run, target, gone, change_seq=seq, commit=covering(gone))


def compare_by_key(index: Index | None, mapped: Mapped) -> Comparison:
    """Compare mapped rows with the index by looking just their keys up."""
    if index is None:
        return nothing_known(mapped)
    found = index.fetch(mapped.frame[KEY].to_list(), vectors=False)
    have = found.unique(KEY, keep="any")
    doubled = found[KEY].filter(found[KEY].is_duplicated())
    joined = mapped.frame.select(KEY, ROW_HASH, TEXT_HASH).join(
        have.select(KEY, ROW_HASH, TEXT_HASH),
        on=KEY,
        how="left",
        suffix=_INDEXED,
        maintain_order="left",
    )
    known = joined[ROW_HASH + _INDEXED].is_not_null()
    same = known
    for name in (ROW_HASH, TEXT_HASH):
        same = same & (joined[name] == joined[name + _INDEXED]).fill_null(False)
    same = same & ~joined[KEY].is_in(doubled.implode())
    return Comparison(known, same, doubled.unique())
