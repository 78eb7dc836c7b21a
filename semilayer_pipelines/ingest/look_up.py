"""Rows of the source by their ids, in as many parts as their weight asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from semilayer_pipelines.bridges.protocol import LookedUp, Selection
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.retry import retrying

__all__ = ["look_up"]


def look_up(
    opened: OpenLens, selection: Selection, ids: Sequence[str]
) -> Iterator[tuple[list[str], LookedUp]]:
    """Yield some of the ids with what the source has of them, until all were asked for.

    A source that does not answer is asked again. Raises what the bridge raises.
    """
    waiting = ids
    while waiting:
        found = retrying(partial(opened.bridge.read_rows, selection, waiting), SourceUnreachable)
        left = set(found.left)
        yield [id for id in waiting if id not in left], found
        waiting = found.left
