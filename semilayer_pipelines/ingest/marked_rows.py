"""Objects that were marked as being at fault (`semilayer verify --heal`), and are written again.

An object that no search finds is written again as it is. When still none finds it, that is noted,
and it is left alone: the vector index does not reach it, wherever it is put. One whose fields or
vector are not those of its row counts as another one: the walk over the source writes it, and
embeds its text where the vector is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.confirm_absent import LOOK_UP_ROWS, in_chunks
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.store_restart import Recovered, recover
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import failed_rows, marked_rows, store_watch
from semilayer_pipelines.registry.marked_rows import Fault

__all__ = ["forget_altered", "mark_set_aside", "marked_altered", "recover_hidden"]

_ALTERED = (Fault.FIELDS, Fault.VECTOR)
_HIDDEN = (Fault.HIDDEN,)
_NONE = Recovered()


def recover_hidden(opened: OpenLens, run: Run, target: Target) -> bool:
    """Write what no search finds again, a chunk at a time; return False when paused on the way."""
    index = target.index
    while index is not None and (keys := _marked(opened, target, _HIDDEN, LOOK_UP_ROWS)):
        if run.paused():
            return False
        with target.locked(index, run):
            recovered = recover(index, keys)
            _clear(opened, run, target, _HIDDEN, keys, recovered=recovered)
        run.progress.add(Counts(recovered=recovered.rows))
    return True


def marked_altered(opened: OpenLens, target: Target) -> list[str]:
    """Return the keys of objects whose fields or vectors are not those of their rows."""
    return _marked(opened, target, _ALTERED)


def forget_altered(opened: OpenLens, run: Run, target: Target, keys: Sequence[str]) -> None:
    """Take the marks off objects that a whole walk has written again.

    A row that was set aside was not, so its object stays marked.
    """
    with opened.registry.read() as db:
        aside = set(failed_rows.keys(db, opened.lens.id, failed_rows.KEPT))
    for some in in_chunks(key for key in keys if key not in aside):
        _clear(opened, run, target, _ALTERED, some)


def mark_set_aside(opened: OpenLens, run: Run, target: Target) -> None:
    """Mark the objects of rows that were set aside while a walk cut all rows in another way.

    Their hashes are those of their rows, so no other walk would cut them.
    """
    with opened.registry.read() as db:
        aside = failed_rows.keys(db, opened.lens.id, failed_rows.KEPT)

    def mark(db: Connection) -> None:
        target.check_current(db)
        run.lease.check(db)
        marked_rows.mark(db, target.generation.id, Fault.FIELDS, aside)

    if aside:
        opened.registry.transact(mark)


def _marked(
    opened: OpenLens, target: Target, faults: Sequence[Fault], limit: int | None = None
) -> list[str]:
    with opened.registry.read() as db:
        return marked_rows.keys(db, target.generation.id, faults, limit)


def _clear(
    opened: OpenLens,
    run: Run,
    target: Target,
    faults: Sequence[Fault],
    keys: Sequence[str],
    *,
    recovered: Recovered = _NONE,
) -> None:
    def clear(db: Connection) -> None:
        target.check_current(db)
        run.lease.check(db)
        marked_rows.clear(db, target.generation.id, faults, keys)
        marked_rows.mark(db, target.generation.id, Fault.UNREACHABLE, recovered.left)
        if recovered.rows:
            store_watch.note_recovered(db, target.generation.id, recovered.rows)

    opened.registry.transact(clear)
