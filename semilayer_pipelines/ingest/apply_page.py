"""Apply a page: the one way that rows take to the index, whichever mode chose them.

Mapping, comparing, taking vectors over, embedding and writing happen here and nowhere else. The
page is written and only then whatever covers it (a cursor, a claim) is committed, both under the
index's write lock, so that a run may die at any instruction and be run again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import (
    ObjectsRejected,
    SemilayerError,
    StoreUnavailable,
    TooManyFailures,
)
from semilayer_pipelines.ingest.changed_rows import ChangedRows
from semilayer_pipelines.ingest.decision import (
    Action,
    all_replaced,
    decide,
    may_have_vector,
    not_newer,
)
from semilayer_pipelines.ingest.delete import take_out
from semilayer_pipelines.ingest.embed_aside import Embed, embedding_aside
from semilayer_pipelines.ingest.leaving import Leaving, leaving, leaving_rejected, moved
from semilayer_pipelines.ingest.map_page import map_page
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page, RowChoice
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import LogKeys, Target
from semilayer_pipelines.ingest.texts import texts_of
from semilayer_pipelines.ingest.vectors import PendingVectors, Vectorised, begin_vectors
from semilayer_pipelines.mapping.mapped import Mapped, why_failed
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, Index

__all__ = [
    "Begun",
    "Compared",
    "apply_page",
    "begin_page",
    "commit_unchanged",
    "compare_page",
    "end_page",
]

MANY_FAILURES = 100
"""Rows of one page that cannot be mapped or written beyond which the job fails."""

MANY_FAILURES_SHARE = 0.5
"""They must also be more than this share of the page."""


@dataclass(frozen=True)
class Compared:
    """A page that is mapped and compared with what the index has.

    `changed` are the rows that are written, `leaving` the objects that go though their rows are
    there. `counts` is what is known before anything is written. It may stand for several `pages`
    of which nothing but the changed rows is left, and which took `seconds` so far (see `gather`).
    """

    page: Page
    mapped: Mapped
    changed: ChangedRows
    leaving: Leaving
    counts: Counts
    pages: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class Begun:
    """A page that is compared, with the `vectors` of the rows that are written under way."""

    compared: Compared
    vectors: PendingVectors


def apply_page(opened: OpenLens, run: Run, target: Target, page: Page, choice: RowChoice) -> Counts:
    """Bring the index in sync with one page, then commit what covers it.

    Raises `TooManyFailures` when most of the page cannot be mapped or embedded, `GuardStopped` when
    too many rows would leave the index, `StartOver` when the target is no longer current, `Fenced`
    when the run has lost its lease, `PausedInPage`, and what embedder and store raise. Rows that
    left their tenant are out of it even then.
    """
    compared = compare_page(opened, target, page, choice)
    with embedding_aside(opened.embedder) as embed:
        begun = begin_page(opened, target, compared, choice, embed)
        return end_page(opened, run, target, begun, choice, since=page.started)


def compare_page(opened: OpenLens, target: Target, page: Page, choice: RowChoice) -> Compared:
    """Map a page and compare it with what the index has; nothing is embedded or written."""
    mapped = map_page(opened, page)
    states = choice.compare(page, mapped)
    actions = decide(states, sole_writer=target.sole_writer)
    written = actions != Action.SKIP
    if _fails_as_a_whole(mapped, page.height):
        written &= False  # the page is refused when it ends, so nothing of it is embedded
    # Words of no others: most rows of a sync are as they were. Under the lock they would hold it.
    rows = opened.mapping.with_words(mapped.frame.filter(written))
    changed = ChangedRows.read_at(
        page.change_seq,
        rows,
        actions.filter(written),
        may_have_vector(states.filter(written)),
        shard=page.shard,
    )
    counts = Counts(
        read=page.height,
        unchanged=mapped.frame.height - rows.height,
        failed=mapped.failed.height,
        nulled=sum(mapped.nulled.values()),
        textless=mapped.textless.height,
    )
    out = leaving(opened, target.index, mapped, choice.may_hold, page.outside)
    return Compared(page, mapped, changed, out, counts)


def begin_page(
    opened: OpenLens, target: Target, compared: Compared, choice: RowChoice, embed: Embed
) -> Begun:
    """Have the vectors of a page made that were not made before; nothing is written."""
    rows, have = compared.changed.rows, choice.reuse_from()
    # Only the index that was compared is known; another one may have a vector of any row.
    looked_for = (
        compared.changed.may_have
        if have is target.index
        else pl.repeat(True, rows.height, eager=True)
    )
    if have is not None and rows.height:
        looked_for &= ~rows[KEY].is_in(target.distrusted.implode())
    texts = texts_of(opened, rows, have, looked_for)
    asked = partial(embed, pages=compared.pages)
    return Begun(compared, begin_vectors(asked, rows, texts, have, looked_for))


def end_page(
    opened: OpenLens, run: Run, target: Target, begun: Begun, choice: RowChoice, *, since: float
) -> Counts:
    """Wait for a page's vectors, write it, and commit what covers it.

    `since` is the monotonic time from which on it is counted how long the page took.
    """
    compared = begun.compared
    page, mapped = compared.page, compared.mapped
    try:
        _refuse_mass_failure(mapped, page.height)
        out = (*compared.leaving.at_once, *choice.take_out(compared.leaving.others))
        ready = begun.vectors.result(run.paused)
        if ready.rows.height:
            target.require_index(ready.dimension)
    except SemilayerError:
        _leave_at_once(opened, run, target, compared)
        raise
    counts = compared.counts + _made(ready)
    rejected = {key: ("embedding", reason) for key, reason in ready.rejected.items()}
    out += leaving_rejected(opened, target.index, _of(mapped, rejected))
    if ready.rows.height:
        target.note_embedder(ready.by)
        target.note_splitter()
    if target.index is None or not (ready.rows.height or out):
        counts += Counts(failed=len(rejected))
        _commit(opened, run, target, compared, choice, counts, rejected)
    else:
        with target.locked(target.index, run) as log:
            done, refused = _change(opened, target, target.index, compared, ready, out, log)
            rejected |= {key: ("writing", reason) for key, reason in refused.items()}
            counts += done + Counts(failed=len(rejected))
            _commit(opened, run, target, compared, choice, counts, rejected)
    run.progress.embedding.add(ready.embedded, ready.tokens, ready.seconds)
    run.progress.page_done(page.shard or 0, counts, time.monotonic() - since, page.cursor)
    return counts


def _change(
    opened: OpenLens,
    target: Target,
    index: Index,
    compared: Compared,
    ready: Vectorised,
    out: Sequence[str],
    log: LogKeys,
) -> tuple[Counts, dict[str, str]]:
    """Take objects out and write others, under the lock; return what the store rejected, and why.

    Keys that received a newer change since they were read are left to the records job.
    """
    objects, changed = _stamped(opened, ready), compared.changed
    actions = changed.actions.gather(ready.at)
    read_at = dict(zip(objects[KEY], changed.seqs.gather(ready.at), strict=True))
    newer = _newer(opened, read_at | dict.fromkeys(out, compared.page.change_seq))
    if newer:
        # Not without need: filtering copies the vectors, which are megabytes.
        ours = not_newer(objects[KEY], newer)
        objects, actions = objects.filter(ours), actions.filter(ours)
    gone = [key for key in out if key not in newer]
    log([*objects[KEY], *gone])
    deleted = _delete(index, gone)
    written, refused = _write(target, index, objects, actions) if objects.height else (0, {})
    _refuse_mass_rejection(refused, objects.height, compared.pages)
    if refused:
        rows = _of(compared.mapped, refused)
        deleted += _delete(index, leaving_rejected(opened, index, rows))
    return Counts(written=written, deleted=deleted), refused


def _leave_at_once(opened: OpenLens, run: Run, target: Target, compared: Compared) -> None:
    """Take rows out of the tenant that they left, of a page that cannot be written.

    Among them are those that are as they should be, and wait for their vectors.
    """
    index = target.index
    keys = (*compared.leaving.at_once, *moved(opened, index, compared.mapped.frame))
    if not keys or index is None:
        return
    with target.locked(index, run) as log:
        _, deleted = take_out(opened, index, keys, change_seq=compared.page.change_seq, log=log)
    run.progress.add(Counts(deleted=deleted))


def _delete(index: Index, keys: Sequence[str]) -> int:
    return retrying(lambda: index.delete(keys), StoreUnavailable) if keys else 0


def _of(mapped: Mapped, keys: Collection[str]) -> pl.DataFrame:
    return mapped.frame.filter(pl.col(KEY).is_in(list(keys))) if keys else mapped.frame.clear()


def _write(
    target: Target, index: Index, objects: pl.DataFrame, actions: pl.Series
) -> tuple[int, dict[str, str]]:
    """Write objects; return how many, and the keys that the store rejected with the reasons."""
    try:
        return target.write(index, objects, actions), {}
    except ObjectsRejected as rejected:
        return rejected.written, rejected.reasons
    except StoreUnavailable:
        # An append may have gone through although its answer was lost: from now on only replace.
        replaced = all_replaced(actions)
        try:
            again = retrying(lambda: target.write(index, objects, replaced), StoreUnavailable)
        except ObjectsRejected as rejected:
            return rejected.written, rejected.reasons
        return again, {}


def _refuse_mass_rejection(refused: Mapping[str, str], rows: int, pages: int) -> None:
    if len(refused) > MANY_FAILURES * pages and len(refused) > rows * MANY_FAILURES_SHARE:
        key, reason = next(iter(refused.items()))
        raise TooManyFailures(
            f"The store rejects {len(refused)} of {rows} rows; the first, {key}: {reason}.",
            cure="Look at the store's log and schema: so many rows are not at fault themselves.",
        )


def _fails_as_a_whole(mapped: Mapped, rows: int) -> bool:
    failed = mapped.failed.height
    return failed > MANY_FAILURES and failed > rows * MANY_FAILURES_SHARE


def _refuse_mass_failure(mapped: Mapped, rows: int) -> None:
    if _fails_as_a_whole(mapped, rows):
        first = mapped.failed.row(0, named=True)
        raise TooManyFailures(
            f"{mapped.failed.height} of {rows} rows cannot be mapped; the first, {first[KEY]}: "
            f"{why_failed(first)}.",
            cure="Mend the field in the lens and push it again.",
        )


def _stamped(opened: OpenLens, ready: Vectorised) -> pl.DataFrame:
    at = pl.lit(opened.clock()).cast(pl.Datetime("us", "UTC")).alias(INDEXED_AT)
    return ready.rows.with_columns(at)


def _newer(opened: OpenLens, read_at: Mapping[str, int]) -> set[str]:
    """Return the keys that received a change after the point at which they were read.

    The records job owns them (invariant 4).
    """
    with opened.registry.read() as db:
        first = min(read_at.values())
        newer = changes.newer_than(db, opened.lens.id, [*read_at], first)
        if not newer or first == max(read_at.values()):
            return newer
        last = changes.newest(db, opened.lens.id, [*newer])
    return {key for key, seq in last.items() if seq > read_at[key]}


def _made(ready: Vectorised) -> Counts:
    return Counts(
        embedded=ready.embedded,
        reused=ready.reused,
        truncated=ready.truncated,
        tokens=ready.tokens,
    )


def _commit(
    opened: OpenLens,
    run: Run,
    target: Target,
    compared: Compared,
    choice: RowChoice,
    counts: Counts,
    rejected: Mapping[str, tuple[str, str]],
) -> None:
    mapped, page, cover = compared.mapped, compared.page, choice.cover
    failed = {
        row[KEY]: ("mapping", why_failed(row))
        for row in mapped.failed.iter_rows(named=True)  # few: most of a page failing was refused
    }
    failed |= {key: ("reading", reason) for key, reason in page.refused.items()}
    failed |= rejected
    if not failed and not run.had_failed_rows and cover is None:
        return

    def commit(db: Connection) -> None:
        # Once more: a page that found nothing to write was compared without the lock, and what it
        # was compared with may have been replaced since.
        target.check_current(db)
        run.lease.check(db)
        if run.had_failed_rows:
            there = [*mapped.frame[KEY], *mapped.textless[KEY], *page.outside]
            failed_rows.clear(db, opened.lens.id, [key for key in there if key not in rejected])
        if failed:
            failed_rows.record(db, opened.lens.id, failed, job_id=run.job_id, now=opened.clock())
        if cover is not None:
            cover(db, page, counts)

    opened.registry.transact(commit)


def commit_unchanged(opened: OpenLens, run: Run, target: Target, compared: Compared) -> None:
    """Commit that those rows of a page are in sync that are not written; the others are held."""
    keys = compared.mapped.frame[KEY]
    same = keys.filter(~keys.is_in(compared.changed.rows[KEY].implode()))
    if not run.had_failed_rows or same.is_empty():
        return

    def commit(db: Connection) -> None:
        target.check_current(db)
        run.lease.check(db)
        failed_rows.clear(db, opened.lens.id, same.to_list())

    opened.registry.transact(commit)
