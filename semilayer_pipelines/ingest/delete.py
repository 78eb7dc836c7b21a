"""Dropping keys from the index, never those that a newer change owns (see `decision`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import LogKeys, Target
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.stores.protocol import Index

__all__ = ["delete_keys", "take_out"]


def delete_keys(
    opened: OpenLens,
    run: Run,
    target: Target,
    keys: Sequence[str],
    *,
    change_seq: int,
    commit: Callable[[Connection], None] | None = None,
    still_failed: bool = False,
    scanned: bool = False,
) -> Counts:
    """Delete objects by key and commit what covers them.

    `change_seq` is the point in the change log at which the keys were found to be gone: a key that
    received a change since is left to the records job (invariant 4). Absent keys are no error. The
    rows are no failed rows any more, unless they are `still_failed`: set aside, and in the source.
    `scanned`: a scan of the index showed all of the keys.
    """
    index = target.index
    if index is None:
        _commit(opened, run, target, [] if still_failed else keys, commit)
        return Counts()
    with target.locked(index, run) as log:
        gone, deleted = take_out(
            opened, index, keys, change_seq=change_seq, log=log, scanned=scanned
        )
        _commit(opened, run, target, [] if still_failed else gone, commit)
    counts = Counts(deleted=deleted)
    run.progress.add(counts)
    return counts


def take_out(
    opened: OpenLens,
    index: Index,
    keys: Sequence[str],
    *,
    change_seq: int,
    log: LogKeys,
    scanned: bool = False,
) -> tuple[list[str], int]:
    """Delete under the lock that gave `log`; return which keys are gone, and how many objects.

    Those with a change after `change_seq` are left (invariant 4). `scanned` as `Index.delete` has
    it.
    """
    with opened.registry.read() as db:
        newer = changes.newer_than(db, opened.lens.id, keys, change_seq)
    gone = [key for key in keys if key not in newer]
    log(gone)
    if not gone:
        return gone, 0
    return gone, retrying(lambda: index.delete(gone, scanned=scanned), StoreUnavailable)


def _commit(
    opened: OpenLens,
    run: Run,
    target: Target,
    mended: Sequence[str],
    commit: Callable[[Connection], None] | None,
) -> None:
    if commit is None and not (run.had_failed_rows and mended):
        return

    def told(db: Connection) -> None:
        target.check_current(db)
        run.lease.check(db)
        if run.had_failed_rows:
            failed_rows.clear(db, opened.lens.id, mended)
        if commit is not None:
            commit(db)

    opened.registry.transact(told)
