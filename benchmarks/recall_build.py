"""The process whose memory is measured: writes vectors to a new index and lets it be maintained."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.memory_probe import peak_mb
from benchmarks.recall_vectors import DIMENSION
from benchmarks.timing import timed
from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    IndexField,
    IndexSchema,
)

__all__ = ["ENV", "FIELDS", "NAME", "VECTORS", "main"]

ENV = "bench"
NAME = "recall-g1"
FIELDS = ("section", "number")
VECTORS = "vectors.f32"  # numbers and nothing else, row by row
_PAGE = 10_000


def main() -> None:
    folder = Path(sys.argv[1])
    fields = [np.load(folder / f"{name}.npy") for name in FIELDS]
    schema = IndexSchema(
        tuple(IndexField(name, FieldType.NUMBER, integer=True) for name in FIELDS), DIMENSION
    )
    index = open_store("lancedb", folder, ENV).create(NAME, schema)

    def write() -> None:
        # Read and not mapped: pages of a mapped file would count as this process's memory.
        with (folder / VECTORS).open("rb") as file:
            for start in range(0, len(fields[0]), _PAGE):
                part = [field[start : start + _PAGE] for field in fields]
                vectors = np.fromfile(file, dtype=np.float32, count=len(part[0]) * DIMENSION)
                with index.lock():
                    index.add(_page(start, vectors.reshape(-1, DIMENSION), *part))

    write_seconds = timed(write)
    pages_peak = peak_mb()
    build_seconds = timed(index.maintain)
    told = {"write": write_seconds, "build": build_seconds}
    print(json.dumps(told | {"pages_peak": pages_peak, "peak": peak_mb()}))


def _page(
    start: int,
    vectors: NDArray[np.float32],
    section: NDArray[np.int64],
    number: NDArray[np.int64],
) -> pl.DataFrame:
    rows = len(vectors)
    return pl.DataFrame(
        {
            KEY: [str(start + row) for row in range(rows)],
            SHARD: pl.repeat(0, rows, dtype=pl.Int32, eager=True),
            ROW_HASH: pl.repeat(bytes(16), rows, dtype=pl.Binary, eager=True),
            TEXT_HASH: pl.repeat(bytes(16), rows, dtype=pl.Binary, eager=True),
            INDEXED_AT: pl.Series([datetime(2026, 1, 1, tzinfo=UTC)] * rows).cast(
                pl.Datetime("us", "UTC")
            ),
            VECTOR: pl.Series(vectors, dtype=pl.Array(pl.Float32, DIMENSION)),
            "section": section,
            "number": number,
        }
    )


if __name__ == "__main__":
    main()
