"""Walking a key range of the source, page by page, in pages of the size that their speed allows."""

from __future__ import annotations

import time
from collections.abc import Iterator

from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.registry import changes

__all__ = ["shard_window", "walk"]


def shard_window(bounds: tuple[str, ...], shard: int) -> Window:
    """Return the key range of a shard; the first has no lower bound, the last no upper one."""
    return Window(
        after=bounds[shard - 1] if shard > 0 else None,
        upto=bounds[shard] if shard < len(bounds) else None,
    )


def walk(
    opened: OpenLens, window: Window, shard: int, page_size: PageSize | None = None
) -> Iterator[Page]:
    """Yield the pages of a window in key order; `Page.cursor` is where the walk would go on.

    The change log is looked at before the rows are read, so that a change which arrives in between
    counts as newer than the page. The last page may be empty and has the cursor `None`. Without a
    `page_size`, a page is over when the next is asked for.
    """
    own_size = PageSize()
    while True:
        limit = (page_size or own_size).rows
        started = time.monotonic()
        with opened.registry.read() as db:
            seq = changes.latest_seq(db, opened.lens.id)
        here = window
        read = retrying(
            lambda here=here, limit=limit: opened.bridge.read_page(opened.selection, here, limit),  # type: ignore[misc]
            SourceUnreachable,
        )
        yield Page(read.frame, shard, seq, started, read.cursor)
        if read.cursor is None:
            return
        own_size.took(read.frame.height, time.monotonic() - started)
        window = Window(after=read.cursor, upto=window.upto)
