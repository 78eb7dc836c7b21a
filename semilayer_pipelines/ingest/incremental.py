"""Rows changed since the cursor, in the order of the change-tracking column.

The walk is ordered by (tracked value, key), so its cursor may be committed page by page. Deleted
rows and rows whose tracked value did not move are not seen: smart sync is there for them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from semilayer_pipelines.bridges.cursors import earlier, tracked_text
from semilayer_pipelines.bridges.protocol import Selection
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import SchemaMismatch, SourceUnreachable
from semilayer_pipelines.ingest.pacing import FIRST_PAGE_ROWS, next_page_rows
from semilayer_pipelines.ingest.page import Commit, Page, apply_page
from semilayer_pipelines.ingest.parts import DEFAULT_TRACKING_COLUMN, Parts
from semilayer_pipelines.ingest.records import compare_by_key
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.registry import changes, cursors
from semilayer_pipelines.registry.cursors import IncrementalCursor

__all__ = ["OVERLAP", "catch_up", "require_tracking_column"]

OVERLAP = timedelta(seconds=30)
"""How far a walk starts before the last value seen: transactions that took longer are missed."""


def require_tracking_column(parts: Parts) -> str:
    """Return the change-tracking column; raise `SchemaMismatch` when the lens has none."""
    if parts.tracked is None:
        raise SchemaMismatch(
            f"Incremental ingest needs a column that moves with every change; table "
            f"{parts.selection.table!r} has no {DEFAULT_TRACKING_COLUMN!r} and the lens names none.",
            cure="Set 'changeTrackingColumn', or use smart sync.",
            lens=parts.lens.name,
        )
    return parts.tracked


def catch_up(parts: Parts, run: Run, target: Target) -> bool:
    """Apply every row past the cursor; return False when paused on the way."""
    tracked = require_tracking_column(parts)
    with parts.registry.read() as db:
        at = cursors.get(db, parts.lens.id)
    since, cursor = _start(at), None
    selection, limit = _with_bounds(parts, target), FIRST_PAGE_ROWS
    while not run.paused():
        started = time.monotonic()
        with parts.registry.read() as db:
            seq = changes.latest_seq(db, parts.lens.id)
        here, rows = cursor, limit
        read = retrying(
            lambda here=here, rows=rows: parts.bridge.read_changed(  # type: ignore[misc]
                selection, tracked, here, rows, since
            ),
            SourceUnreachable,
        )
        apply_page(
            parts,
            run,
            target,
            Page(read.frame, None if selection.bounds else 0, seq, started, cursor=read.cursor),
            compare=lambda mapped: compare_by_key(target.index, mapped),
            vectors_from=target.index,
            commit=_cover(parts, read.last),
        )
        if read.cursor is None:
            return True
        cursor = read.cursor
        limit = next_page_rows(read.frame.height, time.monotonic() - started)
    return False


def _start(at: IncrementalCursor | None) -> str | None:
    """Return the tracked value to start from: the last one seen less the overlap, `None` for all.

    Rows of the overlap are read again, which costs a comparison each: one committed late carries an
    earlier value than those that were read before it.
    """
    if at is None:
        return None
    seen = tracked_text(at.cursor) if at.cursor else at.high_water
    return earlier(seen, OVERLAP.total_seconds()) if seen else None


def _with_bounds(parts: Parts, target: Target) -> Selection:
    columns = parts.selection.columns
    if parts.tracked and parts.tracked not in columns:
        columns = (*columns, parts.tracked)
    return replace(parts.selection, columns=columns, bounds=target.generation.bounds)


def _cover(parts: Parts, last: str | None) -> Commit | None:
    """Return what moves the cursor to the last row of a page, or `None` for an empty page."""
    if last is None:
        return None

    def commit(db: Connection, _: Counts) -> None:
        cursors.put(db, parts.lens.id, cursor=last, high_water=None, now=parts.clock())

    return commit
