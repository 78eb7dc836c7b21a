"""Requests to addresses that hold secrets: httpx logs the whole address of each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["unlogged"]

_now = ContextVar("unlogged", default=False)


def _may_be_written(_record: logging.LogRecord) -> bool:
    return not _now.get()


@contextmanager
def unlogged() -> Iterator[None]:
    """Have httpx log nothing of the requests that are sent in the block, by this thread or task."""
    # A filter that is there already is not added again.
    logging.getLogger("httpx").addFilter(_may_be_written)
    before = _now.set(True)
    try:
        yield
    finally:
        _now.reset(before)
