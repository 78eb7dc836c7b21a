"""Every row of the source is compared with every object of the index, or of one shard of both.

Smart sync reconciles the active generation, repair one of its shards. A rebuild whose counts do not
add up is reconciled before it is published. Which rows are read for it, and which are known without
that, is for others to say (`ChosenRows`).

Nothing is deleted on absence alone (invariant 5). The source is asked once more for what no page
showed, and a sync that would delete too much stops. Objects that were marked as being at fault are
written again (`marked_rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import EmptySource, GuardStopped, StoreUnavailable
from semilayer_pipelines.ingest.chosen_rows import ChosenRows, EveryRow
from semilayer_pipelines.ingest.confirm_absent import absent, departed, in_chunks
from semilayer_pipelines.ingest.cut_rows import CutRows
from semilayer_pipelines.ingest.decision import Indexed
from semilayer_pipelines.ingest.delete import delete_keys
from semilayer_pipelines.ingest.guard import SHOWN_KEYS, Guard
from semilayer_pipelines.ingest.hidden_rows import refuse_hidden
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.ingest.leaving import removes_failed
from semilayer_pipelines.ingest.marked_rows import (
    forget_altered,
    mark_set_aside,
    marked_altered,
    recover_hidden,
)
from semilayer_pipelines.ingest.missed_updates import MissedUpdates
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.pipelined import apply_pages
from semilayer_pipelines.ingest.read_ahead import read_ahead
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import KEY

__all__ = ["Choose", "Reconciled", "reconcile"]


Choose = Callable[[Callable[[], KnownRows], Sequence[str]], tuple[KnownRows, ChosenRows]]
"""Returns what the index has, and which rows are read.

It is given what reads the index, and the keys of rows that must be read whatever is known of them.
"""


@dataclass(frozen=True)
class ComparedRows:
    """Rows of the source, beside everything that the index had when the walk began.

    Objects of the keys `altered` are not what their hashes say; String. `cut` knows which rows are
    cut in another way than now, where there can be any.
    """

    opened: OpenLens
    run: Run
    target: Target
    known: KnownRows
    altered: pl.Series
    missed: MissedUpdates
    removes_failed: bool
    cut: CutRows | None
    chosen: ChosenRows
    cover = None

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        """Look the rows up among what is known, and note what incremental ingest missed."""
        self.chosen.saw(self.opened, page, mapped)
        states = self.known.compare(mapped.frame)
        differing = mapped.frame[KEY].filter(states != Indexed.SAME)
        missed = self.missed.count(page.rows, differing)
        self.run.progress.add(Counts(missed_updates=missed))
        # A row that cannot be mapped is there all the same: its old object stays, if the lens says
        # so. That of a row without a text goes, with the tombstones, so that the guard counts it.
        if not self.removes_failed:
            self.known.mark_seen(mapped.failed[KEY])
        if self.cut is not None:
            states = self.cut.marked(states, mapped.frame)
        return self._as_marked(states, mapped.frame[KEY])

    def _as_marked(self, states: pl.Series, keys: pl.Series) -> pl.Series:
        if self.altered.is_empty():
            return states
        other = (states == Indexed.SAME) & keys.is_in(self.altered.implode())
        return states.set(other, Indexed.OTHER)

    def may_hold(self, keys: pl.Series) -> pl.Series:
        """Say which of the keys the index had when the walk began."""
        return self.known.holds(keys)

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Leave them to the end of the walk, where the guard asks about all of them together."""
        return ()

    def reuse_from(self) -> RowIndex | None:
        """Take vectors over from the index itself."""
        return self.target.index


@dataclass(frozen=True)
class Reconciled:
    """How a reconciliation ended: `complete`, or paused on the way.

    `counts` are the rows of the source, read or proven. `in_sync`: the index holds what was seen of
    each row, and nothing else, unless another run wrote to it meanwhile.
    """

    complete: bool
    counts: Counts = field(default_factory=Counts)
    in_sync: bool = False


def reconcile(
    opened: OpenLens,
    run: Run,
    target: Target,
    *,
    shard: int | None = None,
    guard: Guard | None,
    choose: Choose | None = None,
) -> Reconciled:
    """Bring the generation, or one shard of it, in sync with the source.

    `choose` says which rows are read, by default all of them. A run that stopped keeps no place:
    going over rows that are in sync already costs a comparison each, and nothing is deleted before
    all are known. Raises `GuardStopped` after the writes and before any delete, and what
    `apply_page` and the bridge raise.
    """
    if shard is None and not recover_hidden(opened, run, target):
        return Reconciled(complete=False)
    index, altered = target.index, marked_altered(opened, target)
    began_at = _latest_seq(opened)

    def indexed() -> KnownRows:
        return KnownRows(index.scan(shard=shard) if index else ())

    chosen: ChosenRows = EveryRow.of(target.generation, shard)
    known, chosen = (indexed(), chosen) if choose is None else choose(indexed, altered)
    missed = MissedUpdates(opened, target.generation)
    cut = CutRows.of(opened, target.generation, index)
    page_size = PageSize()
    compared = ComparedRows(
        opened,
        run,
        target,
        known,
        pl.Series(altered, dtype=pl.String),
        missed,
        removes_failed(opened),
        cut,
        chosen,
    )
    pages = chosen.pages(missed.reading(opened), known, page_size)
    with read_ahead(pages) as ahead:
        done = apply_pages(opened, run, target, ahead, compared, page_size=page_size)
    if run.paused():
        return Reconciled(complete=False)
    run.progress.add(chosen.proven)
    counts = done + chosen.proven
    rows = counts.read + counts.proven
    if not rows:
        # Also where a person confirmed the deletes: they meant rows that are gone.
        refuse_hidden(opened)
    if shard is None:
        forget_altered(opened, run, target, altered)
    if shard is None and cut is not None:
        mark_set_aside(opened, run, target)
    if shard is None and run.had_failed_rows:
        _forget_failed(opened, run)
    # A row that was set aside, or left to the records job, is none of these.
    settled = done.read == done.unchanged + done.textless + done.written
    if index is None:
        return Reconciled(complete=True, counts=counts, in_sync=settled)
    seq = _latest_seq(opened)
    limit = None if guard is None else guard.limit(len(known), rows)
    unseen = known.unseen(index.scan(shard=shard, hashes=False))
    stop = GuardStopped if rows else EmptySource
    gone, set_aside, there_after_all = _tombstones(opened, unseen, limit, len(known), stop)
    for tombstones, there in ((gone, False), (set_aside, True)):
        for keys in in_chunks(tombstones):
            if run.paused():
                return Reconciled(complete=False)
            delete_keys(opened, run, target, keys, change_seq=seq, still_failed=there, scanned=True)
    left = there_after_all or len(index.leftovers)
    if len(index.leftovers):
        with target.locked(index, run):
            retrying(index.remove_leftovers, StoreUnavailable)
    # A change that a caller named since may have kept a row from being written or deleted.
    in_sync = settled and not left and _latest_seq(opened) == began_at
    return Reconciled(complete=True, counts=counts, in_sync=in_sync)


def _latest_seq(opened: OpenLens) -> int:
    with opened.registry.read() as db:
        return changes.latest_seq(db, opened.lens.id)


def _tombstones(
    opened: OpenLens,
    unseen: Iterable[pl.Series],
    limit: int | None,
    indexed: int,
    stop: type[GuardStopped],
) -> tuple[list[str], list[str], int]:
    """Return the unseen keys that no search may find on a second look at the source either.

    Those whose rows were set aside come apart from the others; the number is of those that came
    meanwhile, and stay. Raises `stop` when there are more than `limit`, with how many.
    """
    confirmed: list[str] = []
    set_aside: list[str] = []
    gone = there = came = 0
    for keys in in_chunks(key for part in unseen for key in part.to_list()):
        found = departed(opened, keys)
        gone += len(found.keys)
        came += len(keys) - len(found.keys)
        there += len(found.textless) + len(found.failed)
        # Beyond the limit they are only counted: there may be millions.
        if limit is None or gone <= limit or len(confirmed) + len(set_aside) < SHOWN_KEYS:
            confirmed += (*found.absent, *found.textless)
            set_aside += found.failed
    if limit is not None and gone > limit:
        why = f" Of {there:,} the row is there, without a text or set aside." if there else ""
        shown = ", ".join([*confirmed, *set_aside][:SHOWN_KEYS])
        raise stop(
            f"The sync would delete {gone:,} of {indexed:,} indexed rows ({gone / indexed:.1%}), "
            f"among them {shown}.{why} Its guard allows {limit:,}. "
            "Nothing was deleted.",
            cure="If the rows are really gone from the source, confirm: "
            f"`semilayer sync --lens {opened.lens.name} --confirm-deletes`.",
            lens=opened.lens.name,
        )
    return confirmed, set_aside, came


def _forget_failed(opened: OpenLens, run: Run) -> None:
    """Take rows off the list of failed ones that the source no longer has; no page shows them."""
    with opened.registry.read() as db:
        listed = failed_rows.keys(db, opened.lens.id, failed_rows.KEPT)
    gone = [key for keys in in_chunks(listed) for key in absent(opened, keys)]
    with opened.registry.begin() as db:
        run.lease.check(db)
        failed_rows.clear(db, opened.lens.id, gone)
