"""What `benchmarks.weaviate_server` lets each build do: a line says what, a line answers.

It uses only what older builds have as well: `open_store` and the protocol of stores. Run by its
path, so that `semilayer_pipelines` is that of the folder in PYTHONPATH.

Vectors are spread as those of texts are: areas, topics in them, and rows about a topic. A graph
(hnsw) does not reach every object of 600 that are equally far from each other, nor most of those
that surround one object in their very middle. It does so without a write and without this project.
"""

from __future__ import annotations

import inspect
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import md5
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    Index,
    IndexField,
    IndexSchema,
    Store,
)
from semilayer_pipelines.stores.where import parse_where

DIMENSION = 384
PAGE = 2_000
LIVE = 600  # rows that are rewritten, one area
OF_A_TOPIC = 10
MORE = 200  # asked for beyond them, so that nothing is left to how exact the server's index is
LEAST_ANSWERS = 1_000


class MemoryStamps:
    """Stamps as a registry keeps them, for the builds that know them."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def now(self, name: str) -> str | None:
        """Return the stamp of the last write."""
        return self._of.get(name)

    def take(self, name: str, stamp: str) -> str | None:
        """Set a stamp; return the one before."""
        before, self._of[name] = self._of.get(name), stamp
        return before

    def forget(self, name: str) -> None:
        """Remove a stamp."""
        self._of.pop(name, None)


class Work:
    """The indexes of one build, made when they are first asked for."""

    def __init__(self, name: str, folder: Path, rows: int) -> None:
        self._rows = rows
        known = inspect.signature(open_store).parameters
        stamps: dict[str, Any] = {"stamps": MemoryStamps()} if "stamps" in known else {}
        self._open: Callable[[], Store] = partial(
            open_store, "weaviate", folder, f"bench-{name}", environ=os.environ, **stamps
        )
        self._store = self._open()
        for each in self._store.names():
            self._store.drop(each)
        self._made: dict[str, Index] = {}
        self._turn = 0
        self._next = 10_000_000

    def close(self) -> None:
        """Drop the indexes."""
        for each in self._store.names():
            self._store.drop(each)

    def unchanged(self) -> float:
        """Read what the index holds, as a sync does that finds nothing to do."""
        index = self._index("large", self._rows)
        return _timed(lambda: list(index.scan()))

    def changed(self) -> float:
        """Write one row in a hundred and delete as many; put back what was deleted.

        A sync looks at the index twice: what it holds, and then which rows no page has shown.
        """
        index, turn = self._index("large", self._rows), self._another_turn()
        every = max(1, self._rows // 100)
        changed = list(range(0, self._rows, self._rows // every))
        gone = [number + 1 for number in changed]
        rows = _frame(changed, turn)

        def sync() -> None:
            list(index.scan())
            with index.lock():
                index.upsert(rows)
            list(index.scan())
            with index.lock():
                index.delete([_key(number) for number in gone])

        spent = _timed(sync)
        with index.lock():
            index.upsert(_frame(gone, turn))
        return spent

    def imported(self) -> float:
        """Add new rows."""
        index = self._index("large", self._rows)
        rows = _frame(range(self._next, self._next + 1_000), 0)
        self._next += 1_000

        def add() -> None:
            with index.lock():
                index.add(rows)

        spent = _timed(add)
        with index.lock():
            index.delete(rows[KEY].to_list())
        return spent

    def rewritten(self) -> float:
        """Write rows whose texts changed."""
        index = self._index("small", 3_000)
        rows = _frame(range(LIVE), self._another_turn())

        def write() -> None:
            with index.lock():
                index.upsert(rows)

        return _timed(write)

    def tenants_changed(self, tenants: int, each: int, changed: int) -> float:
        """Write some rows of an index with tenants."""
        index = self._index(f"of{tenants}", tenants * each, tenants)
        step = tenants * each // changed
        rows = _frame(range(0, step * changed, step), self._another_turn(), tenants)

        def sync() -> None:
            list(index.scan())
            index.fetch(rows[KEY].to_list())
            with index.lock():
                index.upsert(rows)

        return _timed(sync)

    def tenants_unchanged(self, tenants: int, each: int) -> float:
        """Read what an index with tenants holds."""
        index = self._index(f"of{tenants}", tenants * each, tenants)
        return _timed(lambda: list(index.scan()))

    def answers(self, tenants: int) -> dict[str, Any]:
        """Search for rows from two threads while they are rewritten again and again.

        One answer should hold all of them, the next those of one topic and no more.
        """
        index = self._index(f"watched{tenants}", 3_000, tenants)
        watched = [number for number in range(LIVE) if not tenants or number % tenants == 0]
        where = parse_where({"tenant": "t0000"}, ["title", "tenant"]) if tenants else ()
        told = {"answers": 0, "short": 0, "doubled": 0}
        stop = threading.Event()

        def ask(own: Index, vector: Any, wanted: list[int], limit: int) -> None:
            found = own.search(vector.tolist(), limit=limit, where=where)
            keys = [key for key in found[KEY] if int(key) in wanted]
            told["answers"] += 1
            told["short"] += len(set(keys)) < len(wanted)
            told["doubled"] += len(set(keys)) < len(keys)

        def search() -> None:
            own = self._open().open(index.name)
            topics = sorted({number // OF_A_TOPIC for number in watched})
            for topic in cycle(topics):
                if stop.is_set():
                    break
                ask(own, _area(0), watched, len(watched) + MORE)
                of_it = [number for number in watched if number // OF_A_TOPIC == topic]
                ask(own, _area(0) + _topic(topic), of_it, OF_A_TOPIC)

        with ThreadPoolExecutor(2) as pool:
            searching = [pool.submit(search) for _ in range(2)]
            while told["answers"] < LEAST_ANSWERS and not any(map(Future.done, searching)):
                rows = _frame(range(LIVE), self._another_turn(), tenants)
                with index.lock():
                    index.upsert(rows)
            stop.set()
            for each in searching:
                each.result()
        return told

    def _another_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _index(self, name: str, rows: int, tenants: int = 0) -> Index:
        if name not in self._made:
            fields = tuple(IndexField(each, FieldType.TEXT) for each in ("title", "tenant"))
            schema = IndexSchema(fields, DIMENSION, "tenant" if tenants else None)
            index = self._store.create(f"{name}-g1", schema)
            # Tenant by tenant, so that a page is in few of them.
            numbers = sorted(range(rows), key=lambda number: number % tenants if tenants else 0)
            for page in _pages(numbers):
                with index.lock():
                    index.add(_frame(page, 0, tenants))
            self._made[name] = index
        return self._made[name]


def main() -> None:
    """Answer each line until there are no more."""
    name, folder, rows = sys.argv[1:]
    work = Work(name, Path(folder), int(rows))
    timed: dict[str, Callable[[], float]] = {
        "unchanged sync": work.unchanged,
        "1 % changed, 1 % deleted": work.changed,
        "import of 1,000": work.imported,
        "600 rows rewritten": work.rewritten,
        "300 tenants, 60 changed": lambda: work.tenants_changed(300, 20, 60),
        "1,000 tenants, unchanged": lambda: work.tenants_unchanged(1_000, 100),
        "1,000 tenants, 100 changed": lambda: work.tenants_changed(1_000, 100, 100),
    }
    told: dict[str, Callable[[], dict[str, Any]]] = {
        "answers while 600 of 3,000 rows are rewritten": lambda: work.answers(0),
        "answers while 600 of 3,000 rows are rewritten, 30 tenants": lambda: work.answers(30),
        "memory": lambda: {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000},
    }
    try:
        for line in sys.stdin:
            what = line.strip()
            answer = told[what]() if what in told else {"seconds": timed[what]()}
            print(json.dumps(answer), flush=True)
    finally:
        work.close()


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _pages(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), PAGE):
        yield numbers[start : start + PAGE]


def _key(number: int) -> str:
    return f"{number:08d}"


@cache
def _area(number: int) -> Any:
    return np.random.default_rng([1, number]).standard_normal(DIMENSION)


@cache
def _topic(number: int) -> Any:
    return np.random.default_rng([2, number]).standard_normal(DIMENSION) * 0.7


def _vectors(numbers: range | list[int], turn: int) -> Any:
    own = np.random.default_rng([3, turn, *list(numbers)[:1]])
    about = [_area(number // LIVE) + _topic(number // OF_A_TOPIC) for number in numbers]
    return np.array(about) + own.standard_normal((len(numbers), DIMENSION)) * 0.7


def _frame(numbers: range | list[int], turn: int, tenants: int = 0) -> pl.DataFrame:
    """Return objects; each turn has other texts, and so vectors, about the same topics."""
    vectors = _vectors(numbers, turn)
    now = datetime.now(UTC)
    hashes = [md5(f"{n} {turn}".encode(), usedforsecurity=False).digest() for n in numbers]
    return pl.DataFrame(
        {
            KEY: [_key(number) for number in numbers],
            SHARD: pl.Series([0] * len(numbers), dtype=pl.Int32),
            ROW_HASH: hashes,
            TEXT_HASH: hashes,
            INDEXED_AT: pl.Series([now] * len(numbers), dtype=pl.Datetime("us", "UTC")),
            VECTOR: pl.Series(vectors.astype(np.float32), dtype=pl.Array(pl.Float32, DIMENSION)),
            "title": [f"row {number}, turn {turn}" for number in numbers],
            "tenant": [f"t{number % tenants if tenants else 0:04d}" for number in numbers],
        }
    )


if __name__ == "__main__":
    main()
