"""Rows changed since the cursor, in the order of the change-tracking column.

The walk is ordered by (tracked value, key), so its cursor may be committed page by page. It ends at
the largest value there was when it began: on a table that is written to without a pause it would
never end, and get ever further from where it began to look for rows that are committed late. One
page of what came meanwhile is applied too, without the cursor.

A row that moved and that the lens's `where` leaves out now is taken out of the index.

Deleted rows, rows whose tracked value did not move, and rows without a value or with one from the
future are not seen: smart sync is there for them. A lens may track several columns, of which the
first that is set counts, so that rows which have no time of a change yet are followed by another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.bridges.cursors import Scalar, decode, encode
from semilayer_pipelines.bridges.epochs import epoch_unit, moved_to, number_of
from semilayer_pipelines.bridges.protocol import Bridge, ColumnKind, Selection, SourcePage
from semilayer_pipelines.bridges.times import is_ahead, is_over, is_time, start_before
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import Refused, SchemaMismatch, SourceUnreachable
from semilayer_pipelines.ingest.apply_page import apply_page
from semilayer_pipelines.ingest.by_key import ByKey, all_of, compare_by_key
from semilayer_pipelines.ingest.hidden_rows import refuse_hidden
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.removals import Removals
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.ingest.walk import pages
from semilayer_pipelines.mapping.columns import DEFAULT_TRACKING_COLUMN
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import cursors
from semilayer_pipelines.registry.cursors import IncrementalCursor
from semilayer_pipelines.stores.chunks.protocol import RowIndex

__all__ = [
    "HORIZON",
    "OVERLAP",
    "goes_on_at",
    "nothing_moved",
    "run_incremental",
    "survey",
    "surveyed",
]

OVERLAP = timedelta(seconds=30)
"""How long a transaction may stay open: of one that took longer, rows may be missed."""

TICK = timedelta(seconds=1)
"""How long a value may be drawn by others after it was seen: clocks in tables have seconds."""

HORIZON = timedelta(hours=14)
"""A time further ahead is no time of a change: no clock on earth is further ahead of UTC."""


@dataclass(frozen=True)
class MovedRows:
    """Rows past the cursor, which moves with each page.

    The walk began at `began`, when `end` was the largest tracked value.
    """

    opened: OpenLens
    target: Target
    removals: Removals
    end: str
    began: datetime

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        """Look the keys of the page up in the index."""
        return compare_by_key(self.target.index, mapped)

    def may_hold(self, keys: pl.Series) -> pl.Series:
        """Say of every key that the index can have it."""
        return all_of(keys)

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Take all of them out, unless the job would take out too many."""
        return self.removals.allowed(keys)

    def reuse_from(self) -> RowIndex | None:
        """Take vectors over from the index itself."""
        return self.target.index

    def cover(self, db: Connection, page: Page, counts: Counts) -> None:
        """Move the cursor to the last row of the page; after the last page the walk is complete."""
        if page.last is None:
            return  # there was no row
        lens_id = self.opened.lens.id
        cursors.put(db, lens_id, page.last, self.opened.clock())
        if page.cursor is None:
            cursors.completed(db, lens_id, self.end, began=self.began, open_for=OVERLAP + TICK)


@dataclass(frozen=True)
class LatelyMoved(ByKey):
    """Rows that moved while the walk was under way; the cursor stays where it is."""

    removals: Removals

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Take all of them out, unless the job would take out too many."""
        return self.removals.allowed(keys)


def _require_tracking_columns(opened: OpenLens) -> None:
    """Refuse a lens that has no column that tells what changed.

    Raises `Refused`, or `SchemaMismatch` where the lens asks for incremental ingest itself: its
    table had one when it was pushed.
    """
    if not opened.tracked:
        kind = Refused if opened.lens.config.sync_interval is None else SchemaMismatch
        raise kind(
            "Incremental ingest needs a column that moves with every change; "
            f"table {opened.selection.table!r} has no {DEFAULT_TRACKING_COLUMN!r} "
            "and the lens names none.",
            cure="Set 'changeTrackingColumn', or use smart sync.",
            lens=opened.lens.name,
        )


def run_incremental(opened: OpenLens, run: Run, target: Target) -> bool:
    """Apply every row past the cursor; return False when paused on the way."""
    _require_tracking_columns(opened)
    began = opened.clock()
    tracked, end = surveyed(opened, began + HORIZON)
    at = _cursor(opened, run, end)
    missed = retrying(
        lambda: opened.bridge.untracked(opened.selection, tracked, began + HORIZON),
        SourceUnreachable,
    )
    run.progress.add(Counts(untracked=missed.missing, in_the_future=missed.in_the_future))
    if end is None:
        refuse_hidden(opened)
    if end is None or (at is not None and nothing_moved(at, end)):
        return True
    selection, last = _with_bounds(opened, target), None
    removals = Removals.of(opened, run, target)
    choice = MovedRows(opened, target, removals, end, began)
    # Where nothing can come before the cursor any more, nothing is looked at twice.
    after = at.cursor if at is not None and _is_settled(at) else None
    since = None if after is not None else goes_on_at(at, began)
    for page in _walk(opened, selection, tracked, since=since, after=after, upto=end):
        last = page.last
        if run.paused():
            return False
        apply_page(opened, run, target, page, choice)
    if last is not None:
        # Rows that moved past the end meanwhile: one that moves all the time would never be seen.
        # The cursor stays, as among them it could pass rows that are committed late.
        page = next(_walk(opened, selection, tracked, after=last, horizon=began + HORIZON))
        if not page.empty and not run.paused():
            apply_page(opened, run, target, page, LatelyMoved(target, removals))
    return True


def _cursor(opened: OpenLens, run: Run, end: str | None) -> IncrementalCursor | None:
    """Return where the walk goes on that ends at `end`; `None` where it begins at the beginning.

    A column that got another type, such as a time in place of a number, is compared with no value
    of the old one. Such a cursor means nothing any more. A rebuild hands on what was settled before
    it, so that may be of the old type though the position is not.
    """
    with opened.registry.read() as db:
        at = cursors.get(db, opened.lens.id)
    if at is None or end is None:
        return at
    kind = opened.mapping.kinds.get(opened.tracked[0], "other")
    if all(_are_alike(value, end, kind) for value in (at.position, at.settled) if value):
        return at

    def forget(db: Connection) -> None:
        run.lease.check(db)
        cursors.remove(db, opened.lens.id)

    opened.registry.transact(forget)
    return None


def _are_alike(position: str, end: str, kind: ColumnKind) -> bool:
    """Say whether two tracked values compare, as values of a column of this kind.

    Some databases give all values as texts, of which only their form tells what they are.
    """
    before, now = decode(position)[0], decode(end)[0]
    if isinstance(before, str) and isinstance(now, str):
        return kind in ("text", "other") or is_time(before) == is_time(now)
    numbers = (int, float, Decimal)
    return type(before) is type(now) or all(isinstance(value, numbers) for value in (before, now))


def surveyed(opened: OpenLens, horizon: datetime) -> tuple[tuple[str, ...], str | None]:
    """Survey the table of a lens; a source that does not answer is asked again."""
    return retrying(
        lambda: survey(opened.bridge, opened.selection, opened.tracked, horizon), SourceUnreachable
    )


def survey(
    bridge: Bridge, selection: Selection, tracked: tuple[str, ...], horizon: datetime
) -> tuple[tuple[str, ...], str | None]:
    """Return the columns to follow now, and the largest value; `None` when there is no row.

    As long as no row has NULL in the first column, the others cost nothing. The largest value is
    asked for before that is looked at: a row that comes with NULL in between is behind it.
    """
    first = tracked[:1]
    end = bridge.high_water(selection, first, horizon)
    if first == tracked:
        return first, end
    found = bridge.untracked(selection, first, horizon)
    return (
        (first, end)
        if not found.missing
        else (tracked, bridge.high_water(selection, tracked, horizon))
    )


def _walk(
    opened: OpenLens,
    selection: Selection,
    tracked: tuple[str, ...],
    *,
    since: str | None = None,
    after: str | None = None,
    upto: str | None = None,
    horizon: datetime | None = None,
) -> Iterator[Page]:
    """Yield the pages in tracked order; `Page.last` is the position of the last row."""

    def read(after: str | None, limit: int) -> SourcePage:
        return opened.bridge.read_changed(
            selection, tracked, after, limit, since=since, upto=upto, horizon=horizon
        )

    return pages(opened, read, shard=None if selection.bounds else 0, after=after)


def goes_on_at(at: IncrementalCursor | None, now: datetime) -> str | None:
    """Return the tracked value to start from, `None` for the smallest.

    What lies between it and the cursor is read again, which costs a comparison each: a row
    committed late carries an earlier value than those that were read before it. Times say by
    themselves how early that may be; of numbers and versions we know what was seen when.

    A time that was ahead of our clock when the cursor came there is one row's, or one writer's.
    What the others wrote since is earlier, and begins where the last complete walk began. That
    holds for a number, too, that may be a time of that moment (see `bridges.epochs`).
    """
    if at is None or at.position is None:
        return None
    value = decode(at.position)[0]
    seen_at = at.seen_at or at.updated_at
    came_at = seen_at if at.cursor is None else at.updated_at
    if isinstance(value, str) and is_time(value):
        clock = min(now, seen_at) if is_ahead(value, came_at) else now
        return encode([start_before(value, clock, OVERLAP)])
    if at.settled is None:
        return None
    unit = epoch_unit(value, came_at - OVERLAP - TICK, came_at + HORIZON)
    if unit is not None:
        value = moved_to(value, unit, min(now, seen_at), OVERLAP)
    return encode([_earlier(value, decode(at.settled)[0])])


def _earlier(one: Scalar, other: Scalar) -> Scalar:
    """Return the smaller of two numbers of one column, and `other` of what are none."""
    first, second = number_of(one), number_of(other)
    return one if first is not None and second is not None and first < second else other


def nothing_moved(at: IncrementalCursor, end: str) -> bool:
    """Say whether a walk that would end at `end` would read only what earlier ones have read."""
    if at.position is None or not _is_settled(at):
        return False
    return decode(at.position)[0] == decode(end)[0]


def _is_settled(at: IncrementalCursor) -> bool:
    """Say whether no row can still come at the value where the cursor stands, or before it.

    That is so once a whole walk began when that value had been seen for `OVERLAP`: whoever drew a
    smaller one had committed it by then. A time ahead of our clock says nothing about what is
    written, so that walk has to have begun when such a time was over. So it has with a number that
    may be one.
    """
    if at.position is None or at.settled is None or at.seen_at is None:
        return False
    stands_at = decode(at.position)[0]
    if stands_at != decode(at.settled)[0]:
        return False
    if isinstance(stands_at, str) and is_time(stands_at):
        return is_over(stands_at, at.seen_at, OVERLAP)
    return epoch_unit(stands_at, at.seen_at - OVERLAP - TICK, at.seen_at + HORIZON) is None


def _with_bounds(opened: OpenLens, target: Target) -> Selection:
    columns = dict.fromkeys((*opened.selection.columns, *opened.tracked))
    return replace(opened.selection, columns=tuple(columns), bounds=target.generation.bounds)
