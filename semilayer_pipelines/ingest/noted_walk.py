"""A complete walk, noted so that the next smart sync may go by it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.kept_rows import Kept, forget_kept
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.proof import Proof
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.registry import generations, walks
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.walks import Walk

__all__ = ["note_walk", "seen_walk"]


def seen_walk(
    proof: Proof, kept: Kept | None, counts: Counts, *, whole_at: datetime, since: str | None
) -> Walk:
    """Return a walk that began with `proof` and is complete; of the index it says nothing.

    `kept` has what it saw. Every row was read at `whole_at`, and the source can tell what was
    written after `since`.
    """
    return Walk(
        whole_at=whole_at,
        rows=counts.read + counts.proven,
        textless=counts.textless,
        fingerprint=proof.fingerprint,
        place=proof.written.place,
        mark=proof.written.mark,
        since=since,
        token=None,
        kept=None if kept is None else kept.names,
        digest=None if kept is None else kept.digests,
    )


def note_walk(opened: OpenLens, run: Run, generation: Generation, walk: Walk) -> None:
    """Note a complete walk, and let go of the files that only the one before needs.

    Nothing is noted where another index serves by now.
    """

    def note(db: Connection) -> Walk | None:
        run.lease.check(db)
        active = generations.active(db, opened.lens.id, held=True)
        if active is None or active.id != generation.id:
            return None
        before = walks.get(db, generation.id)
        walks.note(db, generation.id, walk)
        return before

    before = opened.registry.transact(note)
    if before is not None:
        forget_kept(opened.walks, before.files - walk.files)
