"""The parts that hold the objects of an index: the collection, or each tenant's part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import polars as pl

from semilayer_pipelines.errors import StoreRefused
from semilayer_pipelines.stores.patience import threads
from semilayer_pipelines.stores.protocol import KEY, IndexSchema
from semilayer_pipelines.stores.weaviate.connection import ask_index
from semilayer_pipelines.stores.weaviate.contents import AT_ONCE
from semilayer_pipelines.stores.weaviate.filter import where_filter
from semilayer_pipelines.stores.weaviate.ledger import TENANT, Held
from semilayer_pipelines.stores.weaviate.reads import Reads
from semilayer_pipelines.stores.weaviate.side_by_side import side_by_side
from semilayer_pipelines.stores.weaviate.tenants import tenants_of
from semilayer_pipelines.stores.where import Condition

__all__ = ["WHOLE", "Parts"]

WHOLE = ""
"""Stands for the tenant of a collection that has none."""

T = TypeVar("T")


class Parts:
    """The parts of an index's collection, each by the name of its tenant."""

    def __init__(self, index: str, schema: IndexSchema, collection: Any) -> None:
        self._index = index
        self._schema = schema
        self._collection = collection
        self.tenants = tenants_of(index, collection, schema)

    def names(self) -> list[str]:
        """Return all there are."""
        return [WHOLE] if self.tenants is None else self.tenants.names()

    def reads(self, name: str) -> Reads:
        """Return what asks a part."""
        part = self._collection if self.tenants is None else self.tenants.part(name)
        return Reads(self._index, self._schema, part)

    def shards(self) -> int:
        """Return how many shards a part is spread over, as far as the server tells."""
        if self.tenants is not None:
            return 1
        try:
            return max(1, len(ask_index(self._index, self._collection.config.get_shards)))
        except StoreRefused:
            return 1

    def asked(self, where: Sequence[Condition]) -> tuple[Reads, Any] | None:
        """Return the part that a search looks at, and the client's filter for it.

        `None` where nothing can match. Raises `ConfigError` for a condition that does not fit the
        fields, and when none names the tenant.
        """
        name: str | None = WHOLE
        if self.tenants is not None:
            name, where = self.tenants.asked(where)
        condition = where_filter(where, self._schema.fields)
        if name is None or condition is False:
            return None
        return self.reads(name), None if condition is True else condition

    def apart(self, objects: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the objects that belong to each part."""
        if self.tenants is None:
            yield WHOLE, objects
        else:
            yield from self.tenants.apart(objects)

    def of_keys(self, keys: Sequence[str], held: Held | None) -> dict[str, list[str]]:
        """Return by part which of these keys it may have objects of.

        `held` is a ledger that has seen every write. Without one, each may have all of them.
        """
        distinct = list(dict.fromkeys(keys))
        if self.tenants is not None and held is not None:
            known = held.of_keys(distinct).select(TENANT, KEY).unique(maintain_order=True)
            return {
                str(name): rows[KEY].to_list()
                for (name,), rows in known.group_by(TENANT, maintain_order=True)
            }
        return dict.fromkeys(self.names(), distinct) if distinct else {}

    def ask(self, keys: dict[str, list[str]], question: Callable[[Reads, list[str]], T]) -> list[T]:
        """Ask parts about keys, some at the same time; return the answers in their order."""
        if len(keys) == 1:
            ((name, some),) = keys.items()
            return [question(self.reads(name), some)]
        return side_by_side(
            lambda each: question(self.reads(each[0]), each[1]), keys.items(), AT_ONCE, threads
        )
