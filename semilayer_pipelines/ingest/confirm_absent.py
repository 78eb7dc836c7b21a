"""The second look at the source that every tombstone needs (invariant 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.retry import retrying

__all__ = ["absent", "in_chunks"]

LOOK_UP_ROWS = 1_000


def absent(opened: OpenLens, keys: Sequence[str]) -> list[str]:
    """Return the keys that name no row of the source now; raises what the bridge raises."""
    just_keys = replace(opened.selection, columns=opened.selection.key)
    found = retrying(lambda: opened.bridge.read_rows(just_keys, keys), SourceUnreachable)
    there = {*key_texts(found.frame, opened.selection.key), *found.refused}
    return [key for key in keys if key not in there]


def in_chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    """Yield the keys in lists of as many as are looked up at once."""
    chunk: list[str] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == LOOK_UP_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
