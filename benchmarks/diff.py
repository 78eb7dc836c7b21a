"""The diff of smart sync at 10,000,000 rows: ids and hashes of an index against those of a source.

The index is a LanceDB table of 10,000,000 objects. The source's rows come as the mapped pages that
a walk would give, 1 % changed and 1 % deleted. Reading a database and mapping are not in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    Index,
    IndexSchema,
)

__all__ = ["CHANGED", "DELETED", "INDEX", "hashed_rows", "run", "written"]

ROWS = 10_000_000
_ADDED_AT_ONCE = 500_000
_TARGET_SECONDS = 60.0
_TARGET_MB = 1_500.0
_ROOT = Path(__file__).resolve().parents[1]

INDEX = "items-1"
CHANGED, DELETED = 3, 7
"""A row whose number leaves this remainder of 100 is changed in, or gone from, the source."""


@dataclass(frozen=True)
class _Probe:
    """What `benchmarks.diff_probe` printed."""

    seconds: float
    processor_seconds: float
    peak_mb: float
    same: int
    changed: int
    new: int
    unseen: int


def run(rows: int = ROWS) -> list[Result]:
    with workplace() as folder:
        # Not in the process that is measured: it must not count what writing the table takes.
        written(folder, rows)
        command = [sys.executable, "-m", "benchmarks.diff_probe", str(folder), str(rows)]
        done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE)
        probe = _Probe(**json.loads(done.stdout))
    percent = rows // 100

    def count(what: str, value: int, wanted: int) -> Result:
        return Result(f"diff: rows {what}", "rows", measured([value]), Wanted.EXACTLY, wanted)

    def most(what: str, unit: str, value: float, target: float | None) -> Result:
        name = f"diff of {rows // 1_000_000} million rows{what}"
        return Result(name, unit, measured([value]), Wanted.AT_MOST, target)

    return [
        most("", "s", probe.seconds, _TARGET_SECONDS),
        most(": seconds of processors", "s", probe.processor_seconds, None),
        most(": peak memory of the process", "MB", probe.peak_mb, _TARGET_MB),
        count("changed", probe.changed, percent),
        count("new", probe.new, 0),
        count("deleted", probe.unseen, percent),
        count("the same", probe.same, rows - 2 * percent),
    ]


def written(folder: Path, rows: int) -> Index:
    """Write an index of so many objects, without fields and with the shortest of vectors."""
    index = open_store("lancedb", folder / "lance", "bench").create(INDEX, IndexSchema((), 1))
    with index.lock():
        for start in range(0, rows, _ADDED_AT_ONCE):
            numbers = np.arange(start, min(start + _ADDED_AT_ONCE, rows), dtype=np.uint64)
            index.add(
                hashed_rows(numbers).with_columns(
                    pl.lit(0, pl.Int32).alias(SHARD),
                    pl.lit(0).cast(pl.Datetime("us", "UTC")).alias(INDEXED_AT),
                    pl.Series(VECTOR, np.ones((len(numbers), 1), np.float32)),
                )
            )
    return index


def hashed_rows(
    numbers: NDArray[np.uint64], changed: NDArray[np.bool_] | None = None
) -> pl.DataFrame:
    """Return (KEY, ROW_HASH, TEXT_HASH) of the rows of these numbers, some with another hash."""
    text = _sixteen_bytes(numbers)
    row = text if changed is None else _sixteen_bytes(numbers + changed.astype(np.uint64) * _OTHER)
    return pl.DataFrame({KEY: pl.Series(numbers).cast(pl.String), ROW_HASH: row, TEXT_HASH: text})


_OTHER = np.uint64(1 << 40)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def _sixteen_bytes(numbers: NDArray[np.uint64]) -> pl.Series:
    both = np.stack([numbers * _SPREAD, numbers], axis=1)
    data = pa.py_buffer(both.tobytes())
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(numbers), [None, data])
    return pl.Series(pl.from_arrow(fixed.cast(pa.binary())))
