"""The second look at the source that every tombstone needs (invariant 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from semilayer_pipelines.bridges.row_key import key_texts
from semilayer_pipelines.ingest.leaving import removes_failed
from semilayer_pipelines.ingest.look_up import look_up
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.stores.protocol import KEY

__all__ = ["Departed", "absent", "departed", "in_chunks"]

LOOK_UP_ROWS = 1_000


@dataclass(frozen=True)
class Departed:
    """Keys that no search may find any more.

    `absent` name no row; the rows of `textless` have no text; those of `failed` cannot be mapped,
    and the lens keeps no vector of such rows.
    """

    absent: tuple[str, ...] = ()
    textless: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.absent, *self.textless, *self.failed)


def absent(opened: OpenLens, keys: Sequence[str]) -> list[str]:
    """Return the keys that name no row of the source now; raises what the bridge raises."""
    just_keys = replace(opened.selection, columns=opened.selection.key)
    there: set[str] = set()
    for _, found in look_up(opened, just_keys, keys):
        there |= {*key_texts(found.frame, opened.selection.key), *found.refused}
    return [key for key in keys if key not in there]


def departed(opened: OpenLens, keys: Sequence[str]) -> Departed:
    """Return which of these keys no search may find now; raises what the bridge raises.

    Most name no row, which their keys alone tell. The rows of the others are few: they are read
    whole, and mapped.
    """
    gone = set(absent(opened, keys))
    left = [key for key in keys if key not in gone]
    there: set[str] = set()
    textless: list[str] = []
    failed: list[str] = []
    for _, read in look_up(opened, opened.selection, left):
        mapped = opened.mapping.apply(read.frame).without(read.refused)
        there |= {*key_texts(read.frame, opened.selection.key), *read.refused}
        textless += mapped.textless[KEY].to_list()
        failed += mapped.lost.to_list() if removes_failed(opened) else []
    # In their order, and none that was found by another spelling of its key.
    without_text, unmapped = set(textless), set(failed)
    return Departed(
        tuple(key for key in keys if key not in there),
        tuple(key for key in keys if key in without_text),
        tuple(key for key in keys if key in unmapped),
    )


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
