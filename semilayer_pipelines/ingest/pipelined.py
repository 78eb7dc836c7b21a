"""Pages of a walk, applied in their order while the next one is being embedded.

Embedding is nearly all of the time, so whatever computes it must never wait: while a page is
written, the next is read, mapped and compared, and its vectors are under way. Everything but the
embedder's work stays on the caller's thread, in the order of the pages; a page is written once all
its vectors are there, and only then what covers it is committed.

Only for walks in which a row is on one page: the next page is compared before this one is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.apply_page import Begun, begin_page, end_page
from semilayer_pipelines.ingest.embed_aside import embedding_aside
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page, RowChoice
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target

__all__ = ["apply_pages"]


def apply_pages(
    opened: OpenLens,
    run: Run,
    target: Target,
    pages: Iterable[Page],
    choice: RowChoice,
    *,
    page_size: PageSize,
) -> Counts:
    """Apply pages until they end or the lens is paused; return what they did together.

    At most two pages are held. One that is under way when the lens is paused is still written,
    unless it waits for an endpoint: then `PausedInPage` is raised. `page_size` is told how long
    each page took. Raises what `apply_page` and the walk raise; what was not written is then
    dropped.
    """
    done, begun, ended = Counts(), None, 0.0

    def end(page: Begun) -> Counts:
        nonlocal ended
        since = max(ended, page.page.started)
        counts = end_page(opened, run, target, page, choice, since=since)
        ended = time.monotonic()
        page_size.took(page.page.rows.height, ended - since)
        return counts

    with embedding_aside(opened.embedder) as embed:
        for page in pages:
            if run.paused():
                break
            following = begin_page(opened, target, page, choice, embed)
            if begun is not None:
                done += end(begun)
            begun = following
        if begun is not None:
            done += end(begun)
    return done
