"""Writing to the parts of an index and deleting from them, several at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import polars as pl

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.lock import Lock
from semilayer_pipelines.stores.protocol import KEY
from semilayer_pipelines.stores.weaviate.contents import AT_ONCE, Contents
from semilayer_pipelines.stores.weaviate.errors import NoTenant
from semilayer_pipelines.stores.weaviate.ids import both_ids
from semilayer_pipelines.stores.weaviate.journal import Entry
from semilayer_pipelines.stores.weaviate.later import add_later
from semilayer_pipelines.stores.weaviate.parts import Parts
from semilayer_pipelines.stores.weaviate.placing import AFTER
from semilayer_pipelines.stores.weaviate.queue import until_found
from semilayer_pipelines.stores.weaviate.side_by_side import side_by_side
from semilayer_pipelines.stores.weaviate.writes import Put, Writes, ids_under

__all__ = ["PartWrites"]


class PartWrites:
    """What is done to the parts of an index while its `lock` is held.

    `waiting` counts the vectors that the server has not indexed yet.
    """

    def __init__(
        self,
        index: str,
        collection: Any,
        parts: Parts,
        contents: Contents,
        lock: Lock,
        waiting: Callable[[], int],
        most_bytes: int,
    ) -> None:
        self._index = index
        self._collection = collection
        self._parts = parts
        self._contents = contents
        self._lock = lock
        self._confirming = threading.Lock()
        self._in_doubt = set[str]()  # keys that were sent and not acknowledged
        self._waiting = waiting
        self._most_bytes = most_bytes

    def doubt(self, keys: Sequence[str]) -> None:
        """Note keys that may have an object which a crash left in no index of the server's."""
        self._in_doubt.update(keys)

    def put(
        self,
        parts: Iterable[tuple[str, pl.DataFrame]],
        entry: Entry,
        *,
        absent: bool = False,
        in_doubt: bool = False,
    ) -> dict[str, str]:
        """Write objects beside the old ones of another text, and then take those out.

        Return the rejected keys with the reasons. See `Writes.put`.
        """
        later = self._later()

        def put(part: tuple[str, pl.DataFrame]) -> tuple[str, Put]:
            name, rows = part
            keys = {*rows[KEY]}
            doubted = in_doubt or not self._in_doubt.isdisjoint(keys)
            try:
                told = self._writes(name, later).put(rows, absent=absent, in_doubt=doubted)
            except StoreUnavailable:
                self._in_doubt |= keys
                raise
            self._in_doubt -= keys
            return name, told

        puts = side_by_side(put, parts, AT_ONCE)
        old = {name: ids_under(each.written, AFTER) for name, each in puts}
        beside = [(name, each.written) for name, each in puts if old[name]]
        # A server that indexes later would be without both for as long.
        until_found([(self._parts.reads(name), rows) for name, rows in beside], self._waiting)
        side_by_side(lambda each: self._delete(each[0], old[each[0]]), beside, AT_ONCE)
        for name, each in puts:
            entry.put(name, each.written)
        return {key: reason for _, each in puts for key, reason in each.rejected.items()}

    def take_out_elsewhere(self, written: pl.DataFrame, entry: Entry) -> None:
        """Delete what other tenants have of objects that were just written to their own."""
        tenants = self._parts.tenants
        if tenants is None or written.is_empty():
            return
        keys = written[KEY].to_list()
        homes = dict(zip(keys, tenants.homes(written), strict=True))
        known = self._parts.of_keys(keys, entry.held)
        self.take_out(
            {name: [k for k in some if homes[k] != name] for name, some in known.items()}, entry
        )

    def take_out(self, keys: dict[str, list[str]], entry: Entry) -> int:
        """Delete what tenants have of some keys; return how many objects there were."""
        some = [(name, both_ids(of_part)) for name, of_part in keys.items() if of_part]
        deleted = sum(side_by_side(lambda each: self._delete(*each), some, AT_ONCE))
        if entry.complete or self._parts.tenants is None:
            for name, _ in some:
                entry.took_out(name, keys[name])
        return deleted

    def unlisted(self, keys: dict[str, list[str]]) -> dict[str, list[str]]:
        """Return which of these keys no part lists an object of, but for those of strays."""
        listed = self._parts.ask(keys, lambda reads, some: {*reads.places(some, later=False)[KEY]})
        known = {*self._contents.strays}.union(*listed)
        left = {name: [k for k in some if k not in known] for name, some in keys.items()}
        return {name: some for name, some in left.items() if some}

    def take_out_unlisted(self, keys: dict[str, list[str]]) -> int:
        """Delete what the server may have stored of such keys; return how many objects."""
        return sum(
            self._writes(name, later=True).delete_unlisted(some) for name, some in keys.items()
        )

    def take_out_strays(self, keys: Sequence[str]) -> int:
        """Delete objects of these keys that a scan met under foreign ids; return how many."""
        strays, deleted = self._contents.strays, 0
        for key in keys if strays else ():
            for name, own in strays.pop(key, ()):
                deleted += self._delete(name, [own])
        return deleted

    def _delete(self, name: str, ids: list[str]) -> int:
        try:
            return self._writes(name, later=True).delete(ids)
        except NoTenant:
            assert self._parts.tenants is not None
            self._parts.tenants.check_gone(name)
            return 0

    def _writes(self, name: str, later: bool) -> Writes:
        return Writes(self._parts.reads(name), self._confirm, self._most_bytes, later)

    def _confirm(self) -> None:
        with self._confirming:  # it may be a connection, which takes one question at a time
            self._lock.confirm()

    def _later(self) -> bool:
        """Give an older collection the properties that it lacks; say whether it has them now."""
        if not self._contents.later:
            self._contents.later = add_later(self._index, self._collection)
        return self._contents.later
