"""Threads that embed the pages of a walk, while others are read and written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

from semilayer_pipelines.embedders.cancellation import Cancellation, cancelled_by
from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.ingest.embed import EmbeddedPage, embed_page
from semilayer_pipelines.ingest.lens_watch import PausedInPage

__all__ = ["PAGES_EMBEDDED_AT_ONCE", "Embed", "Embedding", "embedding_aside"]

LOOK_SECONDS = 1.0
"""How often a run that waits for vectors looks whether its lens was paused."""

PAGES_EMBEDDED_AT_ONCE = 2
"""Pages of a walk that are being embedded at the same time, at most: no more are held."""


@dataclass(frozen=True)
class Embedding:
    """The texts of a page, being embedded in a thread of its own."""

    done: Future[EmbeddedPage]
    cancellation: Cancellation

    def result(self, paused: Callable[[], bool]) -> EmbeddedPage:
        """Wait for the vectors.

        Requests to an endpoint may wait for minutes, so they are ended once the lens is `paused`.
        Raises `PausedInPage` then, and what `embed_page` and `paused` raise.
        """
        while not wait([self.done], LOOK_SECONDS).done:
            if self.cancellation.reaches and paused():
                raise PausedInPage
        return self.done.result()


class Embed(Protocol):
    """Begins to embed the texts of a page, or of several `pages`."""

    def __call__(self, texts: Sequence[str], *, pages: int = 1) -> Embedding:
        """Return what will hold the vectors."""
        ...


@contextmanager
def embedding_aside(embedder: Embedder) -> Iterator[Embed]:
    """Lend threads that embed pages; a page begins while the one before comes to its end.

    A device so has work while texts are made ready, and while vectors are checked. The seconds of a
    page are counted from the end of the page before. What is under way is stopped when the block
    ends.
    """
    aside = ThreadPoolExecutor(PAGES_EMBEDDED_AT_ONCE, thread_name_prefix="embedding")
    counting, ended = Lock(), time.monotonic()
    cancellation = Cancellation()

    def work(texts: Sequence[str], pages: int) -> EmbeddedPage:
        nonlocal ended
        started = time.monotonic()
        with cancelled_by(cancellation):
            page = embed_page(embedder, texts, pages=pages)
        with counting:
            now = time.monotonic()
            seconds, ended = now - max(started, ended), now
        return replace(page, seconds=seconds)

    def embed(texts: Sequence[str], *, pages: int = 1) -> Embedding:
        return Embedding(aside.submit(work, texts, pages), cancellation)

    try:
        yield embed
    finally:
        # Not waited for: an interrupted run must not go on embedding what nobody will write.
        aside.shutdown(wait=False, cancel_futures=True)
        cancellation.cancel()
