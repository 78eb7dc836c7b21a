"""Threads that embed the pages of a walk, while others are read and written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from semilayer_pipelines.embedders.protocol import Embedder
from semilayer_pipelines.ingest.embed import Embed, EmbeddedPage, embed_page

__all__ = ["PAGES_EMBEDDED_AT_ONCE", "embedding_aside"]

PAGES_EMBEDDED_AT_ONCE = 2
"""Pages of a walk that are being embedded at the same time, at most: no more are held."""


@contextmanager
def embedding_aside(embedder: Embedder) -> Iterator[Embed]:
    """Lend threads that embed pages; a page begins while the one before comes to its end.

    A device so has work while texts are made ready, and while vectors are checked. The seconds of a
    page are counted from the end of the page before.
    """
    aside = ThreadPoolExecutor(PAGES_EMBEDDED_AT_ONCE, thread_name_prefix="embedding")
    counting, ended = Lock(), time.monotonic()

    def work(texts: Sequence[str]) -> EmbeddedPage:
        nonlocal ended
        started = time.monotonic()
        page = embed_page(embedder, texts)
        with counting:
            now = time.monotonic()
            seconds, ended = now - max(started, ended), now
        return replace(page, seconds=seconds)

    try:
        yield lambda texts: aside.submit(work, texts)
    finally:
        # Not waited for: an interrupted run must not go on embedding what nobody will write.
        aside.shutdown(wait=False, cancel_futures=True)
