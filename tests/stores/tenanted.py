"""Weaviate with tenants, behind the face of an index without: for the contract that both must keep.

Every object gets an owner that follows from its key, so that a frame is spread over several tenants
and none of its rows ever moves; a search asks one owner after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import polars as pl

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import KEY, SCORE, Index, IndexField, IndexSchema, Store
from semilayer_pipelines.stores.where import Condition, Operator

KIND = "weaviate, tenants"
OWNER = "owner"
OWNERS = ("one", "Two words", "三")


def opened(kind: str, directory: Path, env: str, environ: Mapping[str, str]) -> Store:
    """Open a store of a kind that there is, or of `KIND`."""
    if kind == KIND:
        return cast(Store, Tenanted(open_store("weaviate", directory, env, environ=environ)))
    return open_store(kind, directory, env, environ=environ)


class Tenanted:
    """A store whose indexes have one field more, which is their tenant."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create(self, name: str, schema: IndexSchema) -> Index:
        fields = (*schema.fields, IndexField(OWNER, FieldType.TEXT))
        whole = replace(schema, fields=fields, tenant=OWNER)
        return cast(Index, _Owned(self._inner.create(name, whole)))

    def find(self, name: str) -> Index | None:
        found = self._inner.find(name)
        return None if found is None else cast(Index, _Owned(found))

    def open(self, name: str) -> Index:
        return cast(Index, _Owned(self._inner.open(name)))


class _Owned:
    def __init__(self, inner: Index) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def add(self, objects: pl.DataFrame) -> int:
        return self._inner.add(_owned(objects))

    def upsert(self, objects: pl.DataFrame) -> int:
        return self._inner.upsert(_owned(objects))

    def get(self, key: str) -> dict[str, object] | None:
        found = self._inner.get(key)
        return found and {name: value for name, value in found.items() if name != OWNER}

    def search(
        self,
        vector: Sequence[float],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        found = [
            self._inner.search(
                vector,
                limit=limit,
                where=[*where, Condition(OWNER, Operator.EQ, owner)],
                columns=columns,
            )
            for owner in OWNERS
        ]
        ranked = pl.concat(found).sort(SCORE, KEY, descending=[True, False])
        return ranked.head(limit).drop(OWNER, strict=False)

    def search_words(
        self,
        tokens: Sequence[str],
        *,
        limit: int,
        where: Sequence[Condition] = (),
        words: bool = False,
    ) -> pl.DataFrame:
        found = [
            self._inner.search_words(
                tokens,
                limit=limit,
                where=[*where, Condition(OWNER, Operator.EQ, owner)],
                words=words,
            )
            for owner in OWNERS
        ]
        ranked = pl.concat(found).sort(SCORE, KEY, descending=[True, False])
        return ranked.head(limit).drop(OWNER)


def _owned(objects: pl.DataFrame) -> pl.DataFrame:
    owners = [OWNERS[crc32(str(key).encode()) % len(OWNERS)] for key in objects[KEY]]
    return objects.with_columns(pl.Series(OWNER, owners, dtype=pl.String))
