"""A store over the double, and looks at what the double holds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    SCORE,
    TEXT_HASH,
    VECTOR,
    Index,
    Store,
)
from semilayer_pipelines.stores.weaviate.ids import object_id
from tests.stores.objects import DIMENSION, hash_of, objects, vector_of
from tests.weaviate_double.server import Double
from tests.weaviate_double.shard import Collection

__all__ = [
    "ENV",
    "MemoryStamps",
    "changed",
    "collection_of",
    "found_by",
    "keys_of",
    "opened",
    "slots",
    "write",
]

ENV = "development"


@dataclass
class MemoryStamps:
    """Stamps of this test only, as a registry keeps them for all machines."""

    of: dict[str, str] = field(default_factory=dict)

    def now(self, name: str) -> str | None:
        return self.of.get(name)

    def take(self, name: str, stamp: str) -> str | None:
        before = self.of.get(name)
        self.of[name] = stamp
        return before

    def forget(self, name: str) -> None:
        self.of.pop(name, None)


def opened(
    double: Double,
    folder: Path,
    stamps: MemoryStamps | None = None,
    *,
    env: str = ENV,
    **settings: str,
) -> Store:
    environ = double.environ | settings
    return open_store("weaviate", folder, env, environ=environ, stamps=stamps)


def write(index: Index, frame: pl.DataFrame) -> int:
    with index.lock():
        return index.upsert(frame)


def keys_of(index: Index) -> list[str]:
    return sorted(key for frame in index.scan() for key in frame[KEY])


def changed(keys: list[str], text: str) -> pl.DataFrame:
    """Return objects whose text, and so whose vector, is another than that of `objects`."""
    seeds = [int.from_bytes(hash_of(key + text)[:4]) for key in keys]
    vectors = pl.Series([vector_of(seed) for seed in seeds], dtype=pl.Array(pl.Float32, DIMENSION))
    frame = objects(keys, title=text)
    return frame.with_columns(vectors.alias(VECTOR))


def collection_of(double: Double, name: str = "Development_lens_g1") -> Collection:
    return double.state.classes[name]


def slots(part: Collection, key: str) -> list[int]:
    """Return under which of its two ids a key has an object."""
    return [slot for slot in range(2) if uuid.UUID(object_id(key, slot)).bytes in part.objects]


def found_by(index: Index, frame: pl.DataFrame) -> dict[str, float]:
    """Return how well each object is found by its own vector: 1.0 where it is the very one."""
    scores = {}
    for key, vector in zip(frame[KEY], frame[VECTOR].to_list(), strict=True):
        found = index.search(vector, limit=5)
        mine = found.filter(pl.col(KEY) == key)
        assert mine.height <= 1, "a search shows a row once"
        scores[key] = round(float(mine[SCORE][0]), 3) if mine.height else -1.0
    return scores


def known(index: Index) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Return what a scan tells: by key its hashes."""
    return {
        key: (row, text)
        for frame in index.scan()
        for key, row, text in frame.select(KEY, ROW_HASH, TEXT_HASH).iter_rows()
    }
