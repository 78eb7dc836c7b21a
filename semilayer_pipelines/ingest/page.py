"""Apply a page: the one way that rows take to the index, whichever mode chose them.

Mapping, comparing, taking vectors over, embedding and writing happen here and nowhere else. The
page is written and only then whatever covers it (a cursor, a claim) is committed, both under the
index's write lock, so that a run may die at any instruction and be run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import ObjectsRejected, StoreUnavailable, TooManyFailures
from semilayer_pipelines.ingest.embed import embed_page
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.ingest.vectors import Embed, Vectorised, begin_vectors
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, SHARD, Index

__all__ = [
    "Begun",
    "Commit",
    "Compare",
    "Comparison",
    "Page",
    "apply_page",
    "begin_page",
    "end_page",
    "nothing_known",
]

MANY_FAILURES = 100
"""Rows of one page that cannot be mapped or written beyond which the job fails."""

MANY_FAILURES_SHARE = 0.5
"""They must also be more than this share of the page."""


@dataclass(frozen=True)
class Page:
    """Source rows, the shard they are of, and the point in the change log at which they were read.

    `shard` is `None` when the rows carry their shard in a column. `started` is a monotonic time.
    """

    rows: pl.DataFrame
    shard: int | None
    change_seq: int
    started: float
    cursor: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Which mapped rows the index may know by key, and which it has unchanged; both Boolean.

    `doubled` are the keys of which it has two objects. Our own writes cannot make such a pair; a
    writer that does not know the lock can.
    """

    known: pl.Series
    same: pl.Series
    doubled: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))


@dataclass(frozen=True)
class Begun:
    """A page that is mapped and compared; `known` says which changed rows the index may have.

    `ready` waits for the vectors of the changed rows, and raises why there are none.
    """

    page: Page
    mapped: Mapped
    comparison: Comparison
    known: pl.Series
    ready: Callable[[], Vectorised]


Compare = Callable[[Mapped], Comparison]
Commit = Callable[[Connection, Counts], None]


def nothing_known(mapped: Mapped) -> Comparison:
    """Compare with an empty index."""
    no = pl.repeat(False, mapped.frame.height, eager=True)
    return Comparison(known=no, same=no)


def apply_page(
    opened: OpenLens,
    run: Run,
    target: Target,
    page: Page,
    *,
    compare: Compare,
    vectors_from: Index | None,
    commit: Commit | None = None,
) -> Counts:
    """Bring the index in line with one page, then commit what covers it.

    `compare` tells what the index has; `vectors_from` is the index whose vectors are taken over
    where the text is the same; `commit` runs in the registry transaction that ends the page.

    Raises `TooManyFailures` when most of the page cannot be mapped or embedded, `StartOver` when
    the target is no longer current, `Fenced` when the run has lost its lease, and what embedder and
    store raise.
    """
    begun = begin_page(
        opened,
        target,
        page,
        compare=compare,
        vectors_from=vectors_from,
        embed=lambda texts: partial(embed_page, opened.embedder, texts),
    )
    return end_page(opened, run, target, begun, since=page.started, commit=commit)


def begin_page(
    opened: OpenLens,
    target: Target,
    page: Page,
    *,
    compare: Compare,
    vectors_from: Index | None,
    embed: Embed,
) -> Begun:
    """Map and compare a page, and have its vectors made; nothing is written."""
    mapped = opened.mapping.apply(page.rows)
    _refuse_mass_failure(mapped, page.rows.height)
    comparison = compare(mapped)
    changed = mapped.frame.filter(~comparison.same)
    known = comparison.known.filter(~comparison.same)
    # Only a key that an index knows can have a vector there; of another index nothing is known.
    may_have = known if vectors_from is target.index else pl.repeat(True, known.len(), eager=True)
    ready = begin_vectors(embed, changed, vectors_from, may_have)
    return Begun(page, mapped, comparison, known, ready)


def end_page(
    opened: OpenLens,
    run: Run,
    target: Target,
    begun: Begun,
    *,
    since: float,
    commit: Commit | None = None,
) -> Counts:
    """Wait for a page's vectors, write it, and commit what covers it.

    `since` is the monotonic time from which on it is counted how long the page took.
    """
    page, mapped, comparison, known = begun.page, begun.mapped, begun.comparison, begun.known
    ready = begun.ready()
    known = known.gather(ready.at)
    objects = _stamped(opened, ready, page)
    embedding = {key: ("embedding", reason) for key, reason in ready.rejected.items()}
    if not objects.height:
        counts = _counts(page, mapped, ready, 0, len(embedding))
        _commit(opened, run, target, counts, mapped, embedding, commit)
    else:
        index = target.require_index(ready.dimension)
        target.note_embedder(ready.by)
        with target.locked(index, run):
            newer = _newer(opened, objects[KEY], page.change_seq)
            if newer:
                # Not without need: filtering copies the vectors, which are megabytes.
                current = ~objects[KEY].is_in(newer)
                objects, known = objects.filter(current), known.filter(current)
            _part(index, objects[KEY].filter(objects[KEY].is_in(comparison.doubled.implode())))
            written, refused = _write(target, index, objects, known)
            _refuse_mass_rejection(refused, objects.height)
            rejected = embedding | {key: ("writing", reason) for key, reason in refused.items()}
            counts = _counts(page, mapped, ready, written, len(rejected))
            _commit(opened, run, target, counts, mapped, rejected, commit)
    run.embedding.add(ready.embedded, ready.tokens, ready.seconds)
    run.page_done(page.shard or 0, counts, time.monotonic() - since, page.cursor)
    return counts


def _part(index: Index, doubled: pl.Series) -> None:
    """Take both objects of a pair out, to be written again at once under the same lock.

    No store replaces two objects by one in a single step: for that moment a reader misses the row.
    """
    if doubled.len():
        retrying(lambda: index.delete(doubled.to_list()), StoreUnavailable)


def _write(
    target: Target, index: Index, objects: pl.DataFrame, known: pl.Series
) -> tuple[int, dict[str, str]]:
    """Write objects; return how many, and the keys that the store rejected with the reasons."""
    try:
        return target.write(index, objects, known), {}
    except ObjectsRejected as rejected:
        return rejected.written, rejected.reasons
    except StoreUnavailable:
        # An append may have gone through although its answer was lost: from now on only replace.
        any_may_be_there = pl.repeat(True, known.len(), eager=True)
        try:
            again = retrying(
                lambda: target.write(index, objects, any_may_be_there), StoreUnavailable
            )
        except ObjectsRejected as rejected:
            return rejected.written, rejected.reasons
        return again, {}


def _refuse_mass_rejection(refused: Mapping[str, str], rows: int) -> None:
    if len(refused) > MANY_FAILURES and len(refused) > rows * MANY_FAILURES_SHARE:
        key, reason = next(iter(refused.items()))
        raise TooManyFailures(
            f"The store rejects {len(refused)} of {rows} rows; the first, {key}: {reason}.",
            cure="Look at the store's log and schema: so many rows are not at fault themselves.",
        )


def _refuse_mass_failure(mapped: Mapped, rows: int) -> None:
    failed = mapped.failed.height
    if failed > MANY_FAILURES and failed > rows * MANY_FAILURES_SHARE:
        first = mapped.failed.row(0, named=True)
        raise TooManyFailures(
            f"{failed} of {rows} rows cannot be mapped; the first, {first[KEY]}: "
            f"field {first['field']}: {first['reason']}.",
            cure="Mend the field in the lens and push it again.",
        )


def _stamped(opened: OpenLens, ready: Vectorised, page: Page) -> pl.DataFrame:
    at = pl.lit(opened.clock()).cast(pl.Datetime("us", "UTC")).alias(INDEXED_AT)
    rows = ready.rows.with_columns(at)
    return (
        rows if page.shard is None else rows.with_columns(pl.lit(page.shard, pl.Int32).alias(SHARD))
    )


def _newer(opened: OpenLens, keys: pl.Series, seq: int) -> list[str]:
    """Return the keys that received a newer change: the records job owns them (invariant 4)."""
    with opened.registry.read() as db:
        return list(changes.newer_than(db, opened.lens.id, keys.to_list(), seq))


def _counts(page: Page, mapped: Mapped, ready: Vectorised, written: int, rejected: int) -> Counts:
    changed = ready.rows.height + len(ready.rejected)
    return Counts(
        read=page.rows.height,
        unchanged=mapped.frame.height - changed,
        embedded=ready.embedded,
        reused=ready.reused,
        written=written,
        failed=mapped.failed.height + rejected,
        truncated=ready.truncated,
        tokens=ready.tokens,
    )


def _commit(
    opened: OpenLens,
    run: Run,
    target: Target,
    counts: Counts,
    mapped: Mapped,
    rejected: Mapping[str, tuple[str, str]],
    commit: Commit | None,
) -> None:
    failed = {
        row[KEY]: ("mapping", f"field {row['field']}: {row['reason']}")
        for row in mapped.failed.iter_rows(named=True)  # few: most of a page failing was refused
    } | dict(rejected)
    if not failed and not run.had_failed_rows and commit is None:
        return
    with opened.registry.begin() as db:
        # Once more: a page that found nothing to write was compared without the lock, and what it
        # was compared with may have been replaced since.
        target.check_current(db)
        run.check_fence(db)
        if run.had_failed_rows:
            mended = mapped.frame[KEY].filter(~mapped.frame[KEY].is_in(list(rejected)))
            failed_rows.clear(db, opened.lens.id, mended.to_list())
        if failed:
            failed_rows.record(db, opened.lens.id, failed, job_id=run.job_id, now=opened.clock())
        if commit is not None:
            commit(db, counts)
