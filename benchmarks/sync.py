"""Smart sync: nothing changed; 1 % changed and 1 % deleted; prices changed, or just a few.

At 20,000 rows and, as `sync200k` and `sync1m`, at 200,000 and 1,000,000, where the size of the
table counts. Engine and floor take turns. Each is timed in seconds and in seconds of processor:
the latter tells more on a machine with other work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.catalogue import ROWS, change, database, workplace
from benchmarks.floor import Floor
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import timed
from semilayer_pipelines.counts import Counts
from tests.lab import Lab

__all__ = ["run", "run_large", "run_million"]

_OF_FLOOR = 2.0
_FEW = 29  # rows, scattered over the table


class _Turns:
    """What the rounds of one case took: seconds, and seconds of processor, of both sides."""

    def __init__(self) -> None:
        self.counts: list[Counts] = []
        self._seconds: dict[str, list[float]] = {"engine": [], "floor": []}
        self._processor: dict[str, list[float]] = {"engine": [], "floor": []}

    def take(self, lab: Lab, floor: Floor) -> None:
        """Sync both; every other round the floor goes first."""
        sides: list[tuple[str, Callable[[], object]]] = [
            ("engine", lambda: self.counts.append(lab.sync(full_walk=True).counts)),
            ("floor", floor.sync),
        ]
        for name, sync in sides[:: 1 if len(self.counts) % 2 == 0 else -1]:
            used = time.process_time()
            self._seconds[name].append(timed(sync))
            self._processor[name].append(time.process_time() - used)

    def forget(self) -> None:
        """Keep nothing of the rounds so far, which imported libraries and filled caches."""
        self.counts.clear()
        for kept in (*self._seconds.values(), *self._processor.values()):
            kept.clear()

    def speed(self, name: str, rows: int, target: float | None) -> Result:
        """Return rows a second."""
        engine, floor = ([rows / s for s in self._seconds[side]] for side in ("engine", "floor"))
        return Result(name, "rows/s", measured(engine), target=target, floor=measured(floor).median)

    def seconds(self, name: str) -> list[Result]:
        """Return both kinds of seconds, beside the floor's."""
        return [
            _beside_floor(name, self._seconds),
            _beside_floor(f"{name}: processor", self._processor),
        ]


def _run(rows: int, *, idle_rounds: int, rounds: int) -> list[Result]:
    percent, said = rows // 100, f"sync of {rows:,} rows"
    idle, delta, prices, few = _Turns(), _Turns(), _Turns(), _Turns()
    with workplace() as folder:
        lab = Lab.opened(_source(folder / "engine", rows).parent, {})
        lab.push()
        floor = Floor(_source(folder / "floor", rows), folder / "floor" / "lance")
        files = (lab.database, folder / "floor" / "source.db")
        lab.full()
        floor.full()
        for number in range(2 + idle_rounds):
            if number == 2:
                idle.forget()
            idle.take(lab, floor)
        for number in range(rounds):
            for turns, statements in (
                (
                    delta,
                    (
                        "UPDATE items SET description = description || ' x' WHERE id % 100 = 1",
                        f"DELETE FROM items WHERE id % 100 = {number + 10}",
                    ),
                ),
                (prices, ("UPDATE items SET price = price + 1 WHERE id % 100 = 3",)),
                (few, (f"UPDATE items SET price = price + 1 WHERE id % {rows // _FEW} = 7",)),
            ):
                for file in files:
                    change(file, *statements)
                turns.take(lab, floor)
        differing = 0.0 if lab.audit().clean else 1.0
    return [
        idle.speed(f"{said}, nothing changed", rows, 250_000 if rows == ROWS else None),
        *idle.seconds(f"{said}, nothing changed"),
        _exact("nothing changed: rows written", [c.written for c in idle.counts], 0),
        *delta.seconds(f"{said}, 1 % changed and 1 % deleted"),
        _exact("1 % changed: rows embedded", [c.embedded for c in delta.counts], percent),
        _exact("1 % deleted: rows deleted", [c.deleted for c in delta.counts], percent),
        *prices.seconds(f"{said}, 1 % of prices changed"),
        _exact("prices changed: rows embedded", [c.embedded for c in prices.counts], 0),
        _exact("prices changed: rows written", [c.written for c in prices.counts], percent),
        *few.seconds(f"{said}, {_FEW} prices changed"),
        _exact("index differs from the source", [differing], 0),
    ]


run = partial(_run, ROWS, idle_rounds=15, rounds=5)
run_large = partial(_run, 200_000, idle_rounds=15, rounds=5)
run_million = partial(_run, 1_000_000, idle_rounds=3, rounds=3)


def _source(folder: Path, rows: int) -> Path:
    folder.mkdir()
    file = folder / "source.db"
    file.write_bytes(database(rows))
    return file


def _beside_floor(name: str, seconds: dict[str, list[float]]) -> Result:
    floor = measured(seconds["floor"]).median
    return Result(name, "s", measured(seconds["engine"]), Wanted.AT_MOST, _OF_FLOOR * floor, floor)


def _exact(name: str, counts: list[int] | list[float], wanted: int) -> Result:
    return Result(name, "rows", measured(counts), Wanted.EXACTLY, wanted)
