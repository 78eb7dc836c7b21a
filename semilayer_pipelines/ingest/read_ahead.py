"""The next page of a walk, read while one is compared.

Where nothing changed, reading and comparing are all of the time. The database then works on a page
while this process works on the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from semilayer_pipelines.ingest.page import Page

__all__ = ["read_ahead"]


@contextmanager
def read_ahead(pages: Iterator[Page]) -> Iterator[Iterator[Page]]:
    """Lend the pages, each read in a thread while the caller has the one before.

    One page more is held. What reading raises comes in the place of the page that it is about. The
    block ends once the page that is being read is there.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader:
        yield _each(pages, reader)


def _each(pages: Iterator[Page], reader: ThreadPoolExecutor) -> Iterator[Page]:
    following = reader.submit(next, pages, None)
    while (page := following.result()) is not None:
        following = reader.submit(next, pages, None)
        yield page
