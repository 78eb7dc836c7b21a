"""What a search of a million vectors finds of what it should, beside the exact search.

The conditions hold for few rows and for many. `section` goes with the meaning, as real conditions
do: all its rows lie together, and far from most queries. `number` has nothing to do with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.catalogue import workplace
from benchmarks.recall_build import ENV, FIELDS, NAME, VECTORS
from benchmarks.recall_vectors import DIMENSION, Vectors, material, nearest_of, rows_like
from benchmarks.result import Measured, Result, Wanted, measured
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.lance.index import LanceIndex
from semilayer_pipelines.stores.lance.nearest import nearest
from semilayer_pipelines.stores.protocol import KEY
from semilayer_pipelines.stores.where import parse_where

__all__ = ["run"]

ROWS = 1_000_000
SECTIONS = 60
MIN_RECALL = 0.98
MAX_MB = 600.0

_ROOT = Path(__file__).resolve().parents[1]
_BLOCK = 50_000
_NEAREST = 10
_MANY = 200
_EXACT_QUERIES = 7

Where = dict[str, Any]
Matches = NDArray[np.bool_]


@dataclass(frozen=True)
class _Condition:
    """A condition as a caller writes it, as SQL, and the rows for which it holds."""

    name: str
    where: Where
    sql: str | None
    matches: Callable[[NDArray[np.int64], NDArray[np.int64]], Matches]


CONDITIONS = (
    _Condition("no condition", {}, None, lambda section, number: number >= 0),
    _Condition(
        "one row in 5,000",
        {"number": {"$lt": ROWS // 5_000}},
        f"number < {ROWS // 5_000}",
        lambda section, number: number < ROWS // 5_000,
    ),
    _Condition(
        "one row in 100",
        {"number": {"$lt": ROWS // 100}},
        f"number < {ROWS // 100}",
        lambda section, number: number < ROWS // 100,
    ),
    _Condition(
        "one row in 5",
        {"number": {"$lt": ROWS // 5}},
        f"number < {ROWS // 5}",
        lambda section, number: number < ROWS // 5,
    ),
    _Condition("one section", {"section": 7}, "section = 7", lambda section, number: section == 7),
    _Condition(
        "part of a section",
        {"section": 7, "number": {"$lt": ROWS // 20}},
        f"section = 7 AND number < {ROWS // 20}",
        lambda section, number: (section == 7) & (number < ROWS // 20),
    ),
)


def run() -> list[Result]:
    found = material()
    with workplace() as folder:
        _write_vectors(folder, found.real)
        command = [sys.executable, "-m", "benchmarks.recall_build", str(folder)]
        done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE)
        index = open_store("lancedb", folder, ENV).open(NAME)
        assert isinstance(index, LanceIndex)
        results = _of_building(json.loads(done.stdout), len(found.real))
        for condition in CONDITIONS:
            results += _searched(folder, index, found.queries, condition)
    return results


def _write_vectors(folder: Path, real: Vectors) -> None:
    """Write the real vectors and as many like them as are missing, in no order, and two fields."""
    rng = np.random.default_rng(1)
    vectors = np.memmap(folder / VECTORS, mode="w+", dtype=np.float32, shape=(ROWS, DIMENSION))
    anchors = real[rng.choice(len(real), SECTIONS, replace=False)]
    section = np.empty(ROWS, dtype=np.int64)
    places = rng.permutation(ROWS)
    for start in range(0, ROWS, _BLOCK):
        ours = real[start : start + _BLOCK]
        block = np.concatenate([ours, rows_like(real, min(_BLOCK, ROWS - start) - len(ours), rng)])
        there = places[start : start + len(block)]
        vectors[there] = block
        section[there] = nearest_of(block, anchors)
    vectors.flush()
    for name, values in zip(FIELDS, (section, rng.permutation(ROWS)), strict=True):
        np.save(folder / f"{name}.npy", values)


def _of_building(told: dict[str, float], real: int) -> list[Result]:
    def one(what: str, unit: str, value: float, target: float | None = None) -> Result:
        return Result(f"recall: {what}", unit, measured([value]), Wanted.AT_MOST, target)

    return [
        one(f"vectors of real texts among {ROWS:,}", "", real),
        one("index built", "s", told["build"]),
        one("peak memory, up to the last page", "MB", told["pages_peak"]),
        one("peak memory, index built", "MB", told["peak"], MAX_MB),
    ]


def _searched(
    folder: Path, index: LanceIndex, queries: Vectors, condition: _Condition
) -> list[Result]:
    matches = condition.matches(*(np.load(folder / f"{name}.npy") for name in FIELDS))
    best = _exact(folder, queries, matches)
    conditions = parse_where(condition.where, FIELDS)
    shares: list[float] = []
    seconds: list[float] = []
    short = 0
    for query, wanted in zip(queries, best, strict=True):
        started = time.perf_counter()
        keys = index.search(query.tolist(), limit=_NEAREST, where=conditions)[KEY].to_list()
        seconds.append(time.perf_counter() - started)
        shares.append(len({*keys} & {*map(str, wanted[:_NEAREST])}) / _NEAREST)
        many = index.search(query.tolist(), limit=_MANY, where=conditions).height
        short += many < min(_MANY, int(matches.sum()))
    name = f"recall: {condition.name} ({int(matches.sum()):,} rows)"
    mean = float(np.mean(shares))
    return [
        Result(
            f"{name}: share of the {_NEAREST} nearest found",
            "",
            Measured(mean, min(shares), max(shares), len(shares)),
            target=MIN_RECALL,
        ),
        Result(f"{name}: answers that lack rows", "", measured([short]), Wanted.EXACTLY, 0),
        Result(
            f"{name}: a search, beside the exact one",
            "ms",
            measured([1_000 * second for second in seconds]),
            Wanted.AT_MOST,
            floor=1_000 * _exact_seconds(index, queries[:_EXACT_QUERIES], condition.sql),
        ),
    ]


def _exact(folder: Path, queries: Vectors, matches: Matches) -> NDArray[np.int64]:
    """Return the rows nearest to each query, the nearest first, by comparing with all of them."""
    vectors = np.memmap(folder / VECTORS, mode="r", dtype=np.float32, shape=(ROWS, DIMENSION))
    rows = np.flatnonzero(matches)
    best = np.zeros((len(queries), 0), dtype=np.int64)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        best = np.hstack([best, np.broadcast_to(block, (len(queries), len(block)))])
        scores = np.hstack([scores, queries @ np.asarray(vectors[block]).T])
        order = np.argsort(-scores, axis=1)[:, :_NEAREST]
        best = np.take_along_axis(best, order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
    return best


def _exact_seconds(index: LanceIndex, queries: Vectors, condition: str | None) -> float:
    taken: list[float] = []
    for query in queries:
        started = time.perf_counter()
        nearest(
            index._table,
            query.tolist(),
            limit=_NEAREST,
            columns=[KEY, *FIELDS],
            condition=condition,
            indexed=False,
        )
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))
