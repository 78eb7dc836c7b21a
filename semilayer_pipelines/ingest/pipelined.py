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
from semilayer_pipelines.ingest.apply_page import (
    Begun,
    Compared,
    begin_page,
    commit_unchanged,
    compare_page,
    end_page,
)
from semilayer_pipelines.ingest.embed_aside import Embed, embedding_aside
from semilayer_pipelines.ingest.gather import Gathered
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

    At most two pages are held, and the small changes that are gathered. Those under way when the
    lens is paused are still written, unless they wait for an endpoint: then `PausedInPage` is
    raised. `page_size` is told how long each page took. Raises what `apply_page` and the walk
    raise; what was not written is then dropped.
    """
    gathered = Gathered()
    with embedding_aside(opened.embedder) as embed:
        line = _Pipeline(opened, run, target, choice, embed, page_size, gathered)
        for page in pages:
            if run.paused():
                break
            line.take(compare_page(opened, target, page, choice))
        line.finish()
    return line.done


class _Pipeline:
    """The page that is being embedded, and behind it the changes that are gathered."""

    def __init__(
        self,
        opened: OpenLens,
        run: Run,
        target: Target,
        choice: RowChoice,
        embed: Embed,
        page_size: PageSize,
        gathered: Gathered,
    ) -> None:
        self._parts = (opened, run, target)
        self._choice = choice
        self._embed = embed
        self._page_size = page_size
        self._gathered = gathered
        self._begun: Begun | None = None
        self._ended = 0.0
        self.done = Counts()

    def take(self, compared: Compared) -> None:
        """Begin a page and end the one before it; or hold its changes, if they are few."""
        # What moves a cursor with each page is written page by page.
        if self._choice.cover is not None or not self._gathered.holds(compared):
            self._begin(compared)
        else:
            commit_unchanged(*self._parts, compared)
            seconds = self._since(compared)
            self._page_size.took(compared.counts.read, seconds, compared=True)
            self._gathered.hold(compared, seconds)
        if self._gathered.full and not self._gathered.timed:
            # The first that was written tells how many more of them may wait for one another.
            self._end()
        if self._gathered.full:
            self._begin_gathered()

    def finish(self) -> None:
        """Write what is under way and what is held."""
        self._begin_gathered()
        self._end()
        if self._gathered.written:
            _, run, target = self._parts
            # No page comes after these, whose lock would see that the store was started again.
            target.notice_restart(run)

    def _begin_gathered(self) -> None:
        for compared in self._gathered.taken():
            self._begin(compared)

    def _begin(self, compared: Compared) -> None:
        opened, _, target = self._parts
        following = begin_page(opened, target, compared, self._choice, self._embed)
        self._end()
        self._begun = following

    def _end(self) -> None:
        if self._begun is None:
            return
        begun, self._begun = self._begun, None
        since = max(self._ended, begun.compared.page.started) - begun.compared.seconds
        counts = end_page(*self._parts, begun, self._choice, since=since)
        seconds = self._since(begun.compared)
        self._page_size.took(counts.read, seconds)
        # Without what its pages took to read: that says nothing about how many can be written.
        self._gathered.took(counts.written, seconds - begun.compared.seconds)
        self.done += counts

    def _since(self, compared: Compared) -> float:
        """Return how long the page took, counted from where the one before it was done."""
        before, self._ended = self._ended, time.monotonic()
        return self._ended - max(before, compared.page.started) + compared.seconds
