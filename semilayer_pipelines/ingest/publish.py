"""Publishing a generation: catching up with what changed meanwhile, then one switch.

Searches see the whole old index until the switch and the whole new one after it. The change log has
what callers named, and what walks wrote to the old index since the generation was begun. It is
replayed in rounds, each to the end that the log had at its start, so that changes which arrive all
the time cannot put the switch off.

The old index's write lock is held during the last round and the switch, so that nobody can write to
the old one in between; who comes too late finds the generation switched and starts over.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.errors import EmptySource, GuardStopped, IndexDamaged
from semilayer_pipelines.ingest.apply_changes import apply_changes
from semilayer_pipelines.ingest.by_key import ByKey
from semilayer_pipelines.ingest.fill_shard import active_index
from semilayer_pipelines.ingest.guard import GUARD_ROWS
from semilayer_pipelines.ingest.hidden_rows import refuse_hidden
from semilayer_pipelines.ingest.lens_watch import StartOver
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.reconcile import reconcile
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import changes, cursors, failed_rows, generations, lenses, shards
from semilayer_pipelines.registry.changes import Change
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.lenses import Lens, Needs
from semilayer_pipelines.stores.chunks.protocol import RowIndex
from semilayer_pipelines.stores.protocol import Index, Store

__all__ = ["announce", "begin_walks", "locked", "publish"]

REPLAY_ROWS = 1_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplayedRows(ByKey):
    """Rows that changed while the generation was built.

    The index in use often has their vectors already, where it is of the same model.
    """

    in_use: RowIndex | None

    def reuse_from(self) -> RowIndex | None:
        """Take vectors over from the index in use or, without one, from the new one."""
        return self.target.index if self.in_use is None else self.in_use


def publish(opened: OpenLens, run: Run, generation: Generation) -> Generation | None:
    """Make a filled generation the active one; return it, or `None` when paused on the way.

    Raises `GuardStopped` when the new index would hold far fewer rows than the old one (invariant
    5); the old one goes on serving. Raises `StartOver` when another run was faster, or the lens was
    pushed anew: an index of the old configuration would pass for one of the new.
    """
    target = Target(opened, generation)
    seq = _catch_up(opened, run, target, generation.change_seq)
    if run.paused():
        return None
    accounted_for = _indexed(target) + _failed(opened) + _textless(opened, generation)
    shown = opened.bridge.count(opened.selection)
    if not shown:
        refuse_hidden(opened)
    if accounted_for != shown:
        if not reconcile(opened, run, target, guard=None).complete:
            return None
        seq = _catch_up(opened, run, target, seq)
    with opened.registry.read() as db:
        old = generations.active(db, opened.lens.id)
    _refuse_a_loss(opened, run, target, old)
    target.notice_restart(run)
    if target.index is not None:
        target.index.settle()
    with locked(opened.store, old):
        seq, _ = _replay(opened, run, target, seq)
        return None if run.paused() else _switch(opened, run, target, seq)


def announce(store: Store, lens: Lens, active: Generation) -> None:
    """Let the store's own name for a lens lead to its active generation; safe to repeat.

    After the switch, because the registry decides: who goes by that name is a moment late at most.
    A generation that never held a row has no index to lead to.
    """
    if store.exists(active.index_name):
        store.point(lens.name, active.index_name)


def _switch(opened: OpenLens, run: Run, target: Target, seq: int) -> Generation | None:
    """Switch, and buffer again the changes that only the old index may have.

    Those after `seq` are few: a records run that finds nothing to write, or no index yet, needs no
    lock of the old index. The others waited when the generation was begun.
    """
    now, generation = opened.clock(), target.generation

    def switch(db: Connection) -> Generation | None:
        target.check_current(db)
        run.lease.check(db)
        generations.publish(db, generation.id, now)
        # Looked for after the old generation was replaced: who acknowledges changes holds it.
        reopened = changes.reopen(
            db,
            opened.lens.id,
            seq,
            begun_seq=generation.change_seq,
            begun_at=generation.created_at,
        )
        if reopened:
            logger.info("%d changes are applied once more, to the new index.", reopened)
        lenses.set_needs(db, opened.lens.id, Needs.NOTHING, now)
        # Looked at after its row was written to, and so locked: a push comes before or after.
        if lenses.by_id(db, opened.lens.id).config_hash != opened.lens.config_hash:
            raise StartOver
        followed = opened.lens.config.followed
        begin_walks(db, generation, followed=followed, now=now)
        return generations.active(db, opened.lens.id)

    return opened.registry.transact(switch)


def begin_walks(
    db: Connection, generation: Generation, *, followed: tuple[object, ...], now: datetime
) -> None:
    """Let incremental ingest go on from where a generation was begun.

    `followed` is what the lens follows now (`LensConfig.followed`). Where the generation was built
    with other columns, what was seen of those means nothing, and the next walk starts at the
    beginning.
    """
    if generation.config.followed != followed:
        cursors.remove(db, generation.lens_id)
        return
    cursors.begin(
        db,
        generation.lens_id,
        generation.high_water,
        settled=generation.settled,
        seen_at=generation.created_at,
        now=now,
    )


def _catch_up(opened: OpenLens, run: Run, target: Target, since: int) -> int:
    """Replay in rounds until few changes are left, or until rounds stop getting shorter.

    Returns the point in the change log up to which the new index is in sync. Ends early when the
    lens is paused. While changes arrive faster than they are replayed, no round would be the last.
    """
    before: int | None = None
    while not run.paused():
        since, replayed = _replay(opened, run, target, since)
        if replayed <= REPLAY_ROWS or (before is not None and replayed > before / 2):
            break
        before = replayed
    return since


def _replay(opened: OpenLens, run: Run, target: Target, since: int) -> tuple[int, int]:
    """Apply the changes after `since` that are in the log now, those applied to the old index too.

    Returns the point in the log up to which the new index is in sync, and how many changes came
    before it. Ends early when the lens is paused.
    """
    with opened.registry.read() as db:
        end = changes.latest_seq(db, opened.lens.id)
    choice, replayed = ReplayedRows(target, active_index(opened)), 0
    while not run.paused():
        with opened.registry.read() as db:
            batch = changes.since(db, opened.lens.id, since, REPLAY_ROWS, upto=end)
        if not batch:
            break
        last: dict[str, Change] = {change.key: change for change in batch}
        apply_changes(opened, run, target, list(last.values()), choice)
        since, replayed = batch[-1].seq, replayed + len(batch)
    return since, replayed


def _indexed(target: Target) -> int:
    return target.index.count() if target.index else 0


def _failed(opened: OpenLens) -> int:
    with opened.registry.read() as db:
        return failed_rows.count(db, opened.lens.id)


def _textless(opened: OpenLens, generation: Generation) -> int:
    with opened.registry.read() as db:
        return sum(shard.counts.textless for shard in shards.list_all(db, generation.id))


def _refuse_a_loss(opened: OpenLens, run: Run, target: Target, old: Generation | None) -> None:
    if old is None or run.confirmed:
        return
    in_use = _readable(opened.store, old)
    before, after = in_use.count() if in_use else 0, _indexed(target)
    lost = before - after
    if before and (not after or lost > max(GUARD_ROWS, before * opened.lens.config.guard)):
        textless, failed = _textless(opened, target.generation), _failed(opened)
        why = f" {textless:,} rows have no text." if textless else ""
        if failed:
            why += f" {failed:,} rows are set aside: `semilayer failed` says why."
        raise (GuardStopped if after or textless or failed else EmptySource)(
            f"The rebuilt index holds {after:,} rows, the one in use {before:,}; it was not put in "
            f"its place.{why}",
            cure="If the rows are really gone from the source, confirm: "
            f"`semilayer resume --lens {opened.lens.name} --confirm-deletes`.",
            lens=opened.lens.name,
        )


def locked(store: Store, active: Generation | None) -> AbstractContextManager[None]:
    """Hold the write lock of the index in use, if there is one: nobody writes to it meanwhile."""
    index = _readable(store, active) if active else None
    return nullcontext() if index is None else index.lock()


def _readable(store: Store, generation: Generation) -> Index | None:
    """Return an index, or `None` when it is gone or damaged: then nobody else can write to it."""
    try:
        return store.find(generation.index_name)
    except IndexDamaged:
        return None
