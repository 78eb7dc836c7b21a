"""What this side spends on a Weaviate server: seconds of processor, not of waiting.

The server is the tests' double, in a process of its own, because only the client is measured: a
real one is bound by its vector index. The floor is weaviate-client with objects that were made
before, so the difference is what a row costs us.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved
from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import Index, IndexField, IndexSchema
from semilayer_pipelines.stores.weaviate.checks import with_checks
from semilayer_pipelines.stores.weaviate.connection import connected
from semilayer_pipelines.stores.weaviate.cursor import SCAN_PAGE
from semilayer_pipelines.stores.weaviate.objects import CHUNK_OBJECTS, outgoing
from semilayer_pipelines.stores.weaviate.placing import SLOT
from semilayer_pipelines.stores.weaviate.schema import VECTOR_AT
from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
from tests.stores.objects import names, objects

__all__ = ["run"]

_ROWS = 10_000
_DIMENSION = 384
_REPETITIONS = 5
_FIELDS = (
    IndexField("title", FieldType.TEXT),
    IndexField("price", FieldType.NUMBER),
    IndexField("stock", FieldType.NUMBER, integer=True),
    IndexField("isOpen", FieldType.BOOLEAN),
    IndexField("madeAt", FieldType.DATE),
)


def run() -> list[Result]:
    with workplace() as folder, _server() as environ:
        store = open_store("weaviate", folder, "bench", environ=environ)
        schema = IndexSchema(_FIELDS, _DIMENSION)
        ours, theirs = store.create("ours-g1", schema), store.create("theirs-g1", schema)
        client = connected(WeaviateSettings.from_environ(environ), folder)
        collection = client.collections.use("Bench_theirs_g1")
        rows = _rows()
        # The very objects that ours sends, so that only the way of sending differs.
        placed = with_checks(
            rows.with_columns(pl.lit(0, pl.UInt8).alias(SLOT), pl.lit(0, pl.Int64).alias(VECTOR_AT))
        )
        made = [
            outgoing(
                placed.slice(start, CHUNK_OBJECTS), _FIELDS, most_bytes=2**30, later=True
            ).objects
            for start in range(0, _ROWS, CHUNK_OBJECTS)
        ]
        written = interleaved(
            {
                "engine": lambda: _spent(lambda: _write(ours, rows)),
                "client": lambda: _spent(lambda: _insert(collection, made)),
            },
            repetitions=_REPETITIONS,
        )
        read = interleaved(
            {
                "engine": lambda: _spent(lambda: list(ours.scan())),
                "client": lambda: _spent(lambda: _iterate(collection)),
            },
            repetitions=_REPETITIONS,
        )
        lost = [float(_ROWS - index.count()) for index in (ours, theirs)]
        lost.append(float(_ROWS - sum(frame.height for frame in ours.scan())))
    return [
        _speed("weaviate: objects written, one core", written, 8_000),
        _speed("weaviate: ids scanned, one core", read, 10_000),
        Result("weaviate: objects lost", "objects", measured(lost), Wanted.EXACTLY, 0),
    ]


def _rows() -> pl.DataFrame:
    vectors = np.random.default_rng(1).standard_normal((_ROWS, _DIMENSION)).astype(np.float32)
    frame = objects(names(_ROWS), title="word " * 40, vectors=vectors, dimension=_DIMENSION)
    number = pl.int_range(_ROWS, eager=True)
    return frame.with_columns(
        price=number.cast(pl.Float64) / 7,
        stock=number.cast(pl.Int64),
        isOpen=number % 2 == 0,
        madeAt=pl.from_epoch(number * 86_400).cast(pl.Datetime("us", "UTC")),
    )


def _write(index: Index, rows: pl.DataFrame) -> None:
    with index.lock():
        for page in rows.iter_slices(1_000):
            index.upsert(page)


def _insert(collection: Any, made: Sequence[Any]) -> None:
    for part in made:
        collection.data.insert_many(part)


def _iterate(collection: Any) -> None:
    asked = ["_key", "_row_hash", "_text_hash"]
    for each in collection.iterator(return_properties=asked, cache_size=SCAN_PAGE):
        assert each.properties["_key"]


def _spent(work: Callable[[], object]) -> float:
    """Return the seconds of processor that this process spent, all its threads together."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _speed(name: str, seconds: dict[str, list[float]], target: float) -> Result:
    ceiling = measured([_ROWS / s for s in seconds["client"]]).median
    speed = measured([_ROWS / s for s in seconds["engine"]])
    return Result(name, "objects/s", speed, target=target, floor=ceiling)


@contextlib.contextmanager
def _server() -> Iterator[dict[str, str]]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.weaviate_double"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        told = iter(server.stdout.readline, "ready\n")
        yield dict(line.strip().split("=", 1) for line in told)
    finally:
        server.terminate()
        server.communicate(timeout=10)
