"""The next page of a walk, read while one is compared.

Where nothing changed, reading and comparing are all of the time. The database then works on a page
while this process works on the one before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue

from semilayer_pipelines.ingest.page import Page

__all__ = ["read_ahead"]


@contextmanager
def read_ahead(pages: Iterator[Page]) -> Iterator[Iterator[Page]]:
    """Lend the pages, each read in a thread while the caller has the one before.

    One page more is held. What reading raises comes in the place of the page that it is about. The
    reader is as patient as the caller. The block ends once the page that is being read is there. An
    interrupt ends it at once, and what is read then is nobody's.
    """
    ahead = _Ahead(pages)
    try:
        yield ahead
    except Exception:
        ahead.wait()
        raise
    else:
        ahead.wait()
    finally:
        ahead.end()


class _Ahead(Iterator[Page]):
    def __init__(self, pages: Iterator[Page]) -> None:
        self._pages = pages
        self._context = copy_context()
        self._asked: SimpleQueue[Future[Page | None] | None] = SimpleQueue()
        # One for all pages: to start a thread is to wait until it has begun to read. A process that
        # was told to end does not wait for a statement of the database.
        threading.Thread(target=self._read, name="reading", daemon=True).start()
        self._following = self._begun()

    def __next__(self) -> Page:
        page = self._following.result()
        if page is None:
            raise StopIteration
        self._following = self._begun()
        return page

    def wait(self) -> None:
        self._following.exception()

    def end(self) -> None:
        self._asked.put(None)

    def _begun(self) -> Future[Page | None]:
        following: Future[Page | None] = Future()
        self._asked.put(following)
        return following

    def _read(self) -> None:
        while (following := self._asked.get()) is not None:
            try:
                page = self._context.run(next, self._pages, None)
            except BaseException as error:  # noqa: BLE001 - it is raised where the page is taken
                following.set_exception(error)
            else:
                following.set_result(page)
            # Nothing is held of a page that the caller may be done with.
            page = following = None
