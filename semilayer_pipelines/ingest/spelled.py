"""Under which keys the index has the rows that a caller says are gone.

A caller may spell an id in any way that the source takes for the same. The source tells which row
that is while it has it. For a row that is gone, the keys of the index are compared with the id, by
the source's own equality. The index is scanned for that, but only where a key does not tell how
its row was called: under a collation that ignores case, for instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from semilayer_pipelines.bridges.protocol import Bridge, NamedRows, Selection
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.stores.protocol import KEY, Index

__all__ = ["IndexKeys", "index_keys", "keys_among", "name_rows"]

_PASSES = (SourceUnreachable,)


@dataclass(frozen=True)
class IndexKeys:
    """The index's keys by id, and the ids that are malformed with the reasons.

    The first key is the row's, or the one that it had; the others are equal in the source.
    """

    keys: dict[str, tuple[str, ...]]
    malformed: dict[str, str]


def index_keys(
    bridge: Bridge, selection: Selection, index: Index | None, ids: Sequence[str]
) -> IndexKeys:
    """Return under which keys the index has, or would have, the rows that ids name.

    The source is asked about ids that are no keys of the index. Raises what bridge and index raise.
    """
    exact = keys_among(index, ids)
    keys: dict[str, tuple[str, ...]] = {id: (id,) for id in ids if id in exact}
    others = [id for id in ids if id not in exact]
    if not others:
        return IndexKeys(keys, {})
    named = name_rows(bridge, selection, others)
    own = named.rows | named.forms
    keys |= {id: (key,) for id, key in own.items()}
    there = keys_among(index, own.values())
    sought = {key for key in own.values() if key not in there}
    if index is not None and sought and retrying(lambda: bridge.is_loose(selection), *_PASSES):
        equal = _equal_keys(bridge, selection, index, sorted(sought))
        keys |= {id: (key, *equal.get(key, ())) for id, key in named.rows.items()}
        keys |= {id: (*equal.get(key, ()), key) for id, key in named.forms.items()}
    return IndexKeys(keys, named.malformed)


def name_rows(bridge: Bridge, selection: Selection, ids: Sequence[str]) -> NamedRows:
    """Ask the source which rows ids name; one that does not answer is asked again."""
    return retrying(lambda: bridge.name_rows(selection, ids), *_PASSES)


def keys_among(index: Index | None, keys: Iterable[str]) -> set[str]:
    """Return which of these keys the index has, just as they are written."""
    wanted = list(dict.fromkeys(keys))
    if index is None or not wanted:
        return set()
    return set(index.fetch(wanted, vectors=False)[KEY])


def _equal_keys(
    bridge: Bridge, selection: Selection, index: Index, sought: Sequence[str]
) -> dict[str, list[str]]:
    """Return the keys of the index that are equal to the sought ones in the source."""
    found: dict[str, list[str]] = {}
    for frame in index.scan(hashes=False):
        ask = partial(bridge.same_keys, selection, sought, frame[KEY].to_list())
        for one, key in retrying(ask, *_PASSES):
            found.setdefault(one, []).append(key)
    return found
