"""Smart sync: the index becomes what the source is, and only rows that nothing proves are read.

| the source | the index | what is read |
| --- | --- | --- |
| was not written to since the last complete walk | holds what that walk left | nothing |
| was not written to | may hold something else | rows that differ from what the walk saw |
| was written to, and tells where | may hold something else | these, and rows that differ |
| anything else | anything | every row |

Whatever is read goes through the one pipeline, and what no page showed is deleted as ever
(`reconcile`). Rows that were set aside are tried again in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial

import polars as pl

from semilayer_pipelines.bridges.protocol import KeySums
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.chosen_rows import ChosenRows, EveryRow
from semilayer_pipelines.ingest.guard import Guard
from semilayer_pipelines.ingest.kept_rows import (
    Kept,
    KeptRows,
    NewKept,
    new_kept,
    open_kept,
)
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.ingest.noted_walk import note_walk, seen_walk
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.proof import Proof, is_still, proof_of
from semilayer_pipelines.ingest.reconcile import reconcile
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.ingest.unproven_rows import UnprovenRows
from semilayer_pipelines.registry.walks import Walk
from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, TEXT_HASH

__all__ = ["smart_sync"]

UNLIKE_SHARE = 5
"""Where the index differs from the last walk in more than one of so many rows, all are read."""

_NO_KEYS = pl.Series(KEY, dtype=pl.String)
FEW_ROWS = 1_000
"""As many rows that differ from the last walk are always read by their keys."""


def smart_sync(
    opened: OpenLens, run: Run, target: Target, *, guard: Guard | None, full_walk: bool
) -> bool:
    """Bring the generation in sync with the source; return `False` when paused on the way.

    `full_walk`: read every row, whatever is proven. Raises what `reconcile` raises.
    """
    proof = proof_of(opened, target, full_walk=full_walk)
    if proof is None:
        return reconcile(opened, run, target, guard=guard).complete
    if proof.in_sync:
        _note_in_sync(opened, run, target, proof)
        return True
    began = opened.clock()
    with ExitStack() as files:
        kept = files.enter_context(new_kept(opened.walks))
        plan = _Plan(opened, target, proof, kept, files)
        if plan.nothing_to_read and is_still(opened, proof):
            _note_in_sync(opened, run, target, proof)
            return True
        done = reconcile(opened, run, target, guard=guard, choose=plan.choose)
        if done.complete and is_still(opened, proof):
            seen = plan.seen(began, done.counts)
            # Nobody else wrote to the index since before it was compared.
            token = target.own_token(proof.token) if done.in_sync else None
            note_walk(opened, run, target.generation, replace(seen, token=token))
    return done.complete


def _note_in_sync(opened: OpenLens, run: Run, target: Target, proof: Proof) -> None:
    """Count all rows of the last walk as proven, and note that it holds as of now."""
    last = proof.last
    assert last is not None, "nothing is proven without a walk"
    run.progress.add(Counts(proven=last.rows, textless=last.textless))
    # As of now: a database forgets how old rows are.
    now = replace(last, mark=proof.written.mark, since=last.since and proof.written.since)
    if now != last:
        note_walk(opened, run, target.generation, now)


@dataclass
class _Plan:
    """Which rows one sync reads, and what it can say of the source at its end."""

    opened: OpenLens
    target: Target
    proof: Proof
    kept: NewKept
    files: ExitStack
    unproven: UnprovenRows | None = None

    def choose(
        self, indexed: Callable[[], KnownRows], altered: Sequence[str]
    ) -> tuple[KnownRows, ChosenRows]:
        """Choose the rows that nothing proves, and all of them where that is more than a few."""
        rows = self._rows
        if rows is None:
            return indexed(), self._every_row()
        if self.proof.index_is_the_same:
            # The index holds what the walk saw: so it need not be read either.
            known, unlike = KnownRows(_indexable(rows)), _NO_KEYS
        else:
            known = indexed()
            found = _unlike(rows, known)
            if found is None:
                return known, self._every_row()
            unlike = found
        self.unproven = UnprovenRows(
            rows,
            self.kept,
            self.target.generation.bounds,
            self._hashed,
            self.proof.since,
            self._now,
            unlike,
            (*self.proof.asked, *altered),
        )
        return known, self.unproven

    @property
    def nothing_to_read(self) -> bool:
        """Whether index and source, asked about every row, are what the last walk saw."""
        proof, rows = self.proof, self._rows
        if rows is None or proof.asked or not proof.index_is_the_same:
            return False
        return self._now is not None and self._now == rows.key_sums

    @cached_property
    def _now(self) -> KeySums | None:
        """What the source says of its keys, where it can tell and the last walk is known."""
        since = self.proof.since
        if since is None or self._rows is None:
            return None
        ask = partial(self.opened.bridge.key_sums, self.opened.selection, since)
        return retrying(ask, SourceUnreachable)

    @property
    def _hashed(self) -> bool:
        return self.proof.written.since is not None

    def _every_row(self) -> EveryRow:
        every = EveryRow.of(self.target.generation, None)
        return replace(every, kept=self.kept, hashed=self._hashed)

    @cached_property
    def _rows(self) -> KeptRows | None:
        """What the last walk saw; `None` where it is of no use."""
        last = self.proof.last
        if last is None or last.kept is None or last.digest is None:
            return None
        if not self.proof.unwritten and self.proof.since is None:
            return None
        kept = Kept(last.kept, last.digest)
        return self.files.enter_context(open_kept(self.opened.walks, kept))

    def seen(self, began: datetime, counts: Counts) -> Walk:
        """Return what the next sync may go by; of the index, that nothing is known."""
        last, since = self.proof.last, self.proof.written.since
        kept: Kept | None = None
        if self.unproven is not None and last is not None:
            began = last.whole_at
            since = since if last.since is not None else None  # some keys have no hash
            if self.unproven.saw_the_same:
                kept = self.unproven.last.kept
        kept = kept or self.kept.finish()
        return seen_walk(self.proof, kept, counts, whole_at=began, since=since)


def _unlike(rows: KeptRows, known: KnownRows) -> pl.Series | None:
    """Return the keys of which the index holds something else; `None` where they are too many."""
    found, total = [_NO_KEYS], 0
    for some in _indexable(rows):
        found.append(known.unlike(some))
        total += some.height
    unlike = pl.concat(found)
    return unlike if len(unlike) <= max(FEW_ROWS, total // UNLIKE_SHARE) else None


def _indexable(rows: KeptRows) -> Iterator[pl.DataFrame]:
    for some in rows.frames(ROW_HASH, TEXT_HASH):
        yield some.filter(pl.col(TEXT_HASH).is_not_null())
