"""The parts of a collection whose rows are kept apart: one tenant for each value of a field.

A tenant is made by the server with the first object that is written to it, and woken with the first
request. Both are done there rather than here, because the node that takes the request then waits
until it knows of the tenant itself. What becomes empty stays: an empty tenant is a folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.protocol import IndexField, IndexSchema
from semilayer_pipelines.stores.weaviate.connection import ask_index
from semilayer_pipelines.stores.where import Condition, Scalar, tenant_condition
from semilayer_pipelines.stores.where_values import fitting, whole

__all__ = ["Tenants", "tenant_name", "tenants_of"]

_TAKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HASHED = re.compile(r"_[0-9a-f]{40}")


def tenant_name(value: str | int) -> str:
    """Return the tenant of a value: the value itself wherever Weaviate takes it for a name.

    Any other gets a hash of 160 bits; a value that looks like one is hashed as well, so that no two
    values share a tenant.
    """
    text = str(value)
    if _TAKEN.fullmatch(text) and not _HASHED.fullmatch(text):
        return text
    return f"_{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


def tenants_of(index: str, collection: Any, schema: IndexSchema) -> Tenants | None:
    """Return the tenants of an index's collection, `None` when its rows are not kept apart."""
    if schema.tenant is None:
        return None
    (field,) = (field for field in schema.fields if field.name == schema.tenant)
    return Tenants(index, collection, field)


@dataclass(frozen=True)
class Tenants:
    """The tenants of an index's collection; `field` is the one that they are made of."""

    index: str
    collection: Any
    field: IndexField

    def names(self) -> list[str]:
        """Return every tenant there is, as the server's leader knows it, whatever its state."""
        names = sorted(ask_index(self.index, self.collection.tenants.get))
        if not names:
            # What a role may not see is left out without a word; the shards are refused to it.
            ask_index(self.index, self.collection.config.get_shards)
        return names

    def check_gone(self, name: str) -> None:
        """Raise `StoreUnavailable` when a tenant of which a node did not know is there after all.

        Nodes learn of a new one a moment after each other; what was to be done in it must be done.
        """
        if name in self.names():
            raise StoreUnavailable(
                f"index {self.index}: a node does not know the tenant {name} yet.",
                cure="Check that the nodes of the cluster reach each other; then try again.",
            )

    def part(self, name: str) -> Any:
        """Return the client's collection for one tenant."""
        return self.collection.with_tenant(name)

    def homes(self, objects: pl.DataFrame) -> pl.Series:
        """Return the tenant that each object belongs to. Raises `ValueError` where it says none."""
        values = objects[self.field.name]
        if values.null_count():
            raise ValueError(f"column {self.field.name!r} names the tenant and holds nulls")
        distinct = values.unique()
        named = [tenant_name(value) for value in distinct.to_list()]
        return values.replace_strict(distinct, pl.Series(named, dtype=pl.String))

    def apart(self, objects: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield each tenant's objects among these."""
        homes = self.homes(objects)
        for name in homes.unique(maintain_order=True).to_list():
            yield name, objects.filter(homes == name)

    def asked(self, where: Sequence[Condition]) -> tuple[str | None, list[Condition]]:
        """Return the tenant that a search names, and the other conditions.

        The tenant is `None` when no object can be of it. Raises `ConfigError` when none is named,
        or by a value that is not of the field's type.
        """
        named = tenant_condition(where, self.field.name)
        assert not isinstance(named.value, tuple)  # of an equality
        value = self._value(named.value)
        rest = [each for each in where if each is not named]
        return (None if value is None else tenant_name(value)), rest

    def _value(self, asked: Scalar) -> str | int | None:
        value = fitting(self.field, asked)
        if isinstance(value, str):
            return value
        assert isinstance(value, int | float)  # tenants are texts and integers
        return whole(value)
