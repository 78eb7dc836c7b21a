"""Walking the source, page by page, in pages of the size that their speed allows.

A walk in key order ends at the largest key that there was when it began. Of a table to which others
add rows faster than they are read, it would never come to the end. What lies beyond is for the next
walk; nobody concludes from this one that it is gone (`confirm_absent`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from semilayer_pipelines.bridges.protocol import Selection, SourcePage, Window
from semilayer_pipelines.errors import SourceRefused, SourceUnreachable
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.registry import changes

__all__ = ["ReadPage", "pages", "shard_window", "walk"]


def shard_window(bounds: tuple[str, ...], shard: int) -> Window:
    """Return the key range of a shard; the first has no lower bound, the last no upper one."""
    return Window(
        after=bounds[shard - 1] if shard > 0 else None,
        upto=bounds[shard] if shard < len(bounds) else None,
    )


ReadPage = Callable[[Selection, Window, int], SourcePage]
"""Reads up to so many rows of a window in key order."""


def walk(
    opened: OpenLens,
    window: Window,
    shard: int | None,
    page_size: PageSize | None = None,
    read_page: ReadPage | None = None,
) -> Iterator[Page]:
    """Yield the pages of a window in key order; `Page.cursor` is where the walk would go on.

    The last page may be empty and has the cursor `None`. `read_page` is the bridge's, or reads some
    of the rows only.
    """
    ask = read_page or opened.bridge.read_page
    closed = _closed(opened, window)

    def read(after: str | None, limit: int) -> SourcePage:
        if closed is not None:
            return ask(opened.selection, Window(after, closed.upto), limit)
        # There was no row at all. Those that came since are beyond the end, too.
        return replace(ask(opened.selection, window, limit), cursor=None)

    yield from pages(opened, read, shard=shard, after=window.after, page_size=page_size)


def _closed(opened: OpenLens, window: Window) -> Window | None:
    """Return the window up to the largest key that it has now, `None` when it has no row."""
    if window.upto is not None:
        return window
    try:
        last = retrying(lambda: opened.bridge.last_key(opened.selection, window), SourceUnreachable)
    except SourceRefused:
        # Perhaps the key of one row cannot be read. The page that has it tells which one.
        return window
    return None if last is None else replace(window, upto=last)


def pages(
    opened: OpenLens,
    read: Callable[[str | None, int], SourcePage],
    *,
    shard: int | None,
    after: str | None,
    page_size: PageSize | None = None,
) -> Iterator[Page]:
    """Yield the pages that `read` gives: it gets the cursor to read after, and a number of rows.

    The change log is looked at before the rows are read, so that a change which arrives in between
    counts as newer than the page. Without a `page_size`, a page is over when the next is asked for.
    """
    own_size = PageSize()
    while True:
        limit = (page_size or own_size).rows
        started = time.monotonic()
        with opened.registry.read() as db:
            seq = changes.latest_seq(db, opened.lens.id)
        found = retrying(partial(read, after, limit), SourceUnreachable)
        yield Page(
            found.frame, shard, seq, started, found.cursor, found.last, found.refused, found.outside
        )
        if found.cursor is None:
            return
        own_size.took(found.frame.height + len(found.outside), time.monotonic() - started)
        after = found.cursor
