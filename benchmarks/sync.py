"""Smart sync: nothing changed; 1 % changed and 1 % deleted; prices changed, or just a few.

At 20,000 rows and, as `sync200k`, at 200,000, where the size of the table counts.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.catalogue import ROWS, change, database, workplace
from benchmarks.floor import Floor
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.counts import Counts
from tests.lab import Lab

__all__ = ["run", "run_large"]

_IDLE_REPETITIONS = 15
_REPETITIONS = 5
_OF_FLOOR = 2.0
_FEW = 29  # rows, scattered over the table


def _run(rows: int) -> list[Result]:
    percent, said = rows // 100, f"sync of {rows:,} rows"
    with workplace() as folder:
        lab = Lab.opened(_source(folder / "engine", rows).parent, {})
        lab.push()
        floor = Floor(_source(folder / "floor", rows), folder / "floor" / "lance")
        files = (lab.database, folder / "floor" / "source.db")
        lab.full()
        floor.full()
        idle_counts: list[Counts] = []
        idle = interleaved(
            {
                "engine": lambda: _sync(lab, idle_counts),
                "floor": lambda: timed(floor.sync),
            },
            repetitions=_IDLE_REPETITIONS,
            warm_up=2,
        )
        deltas: list[Counts] = []
        prices: list[Counts] = []
        few: list[Counts] = []
        delta_seconds: dict[str, list[float]] = {"engine": [], "floor": []}
        price_seconds: dict[str, list[float]] = {"engine": [], "floor": []}
        few_seconds: dict[str, list[float]] = {"engine": [], "floor": []}
        for number in range(_REPETITIONS):
            for file in files:
                change(
                    file,
                    "UPDATE items SET description = description || ' x' WHERE id % 100 = 1",
                    f"DELETE FROM items WHERE id % 100 = {number + 10}",
                )
            delta_seconds["engine"].append(_sync(lab, deltas))
            delta_seconds["floor"].append(timed(floor.sync))
            for file in files:
                change(file, "UPDATE items SET price = price + 1 WHERE id % 100 = 3")
            price_seconds["engine"].append(_sync(lab, prices))
            price_seconds["floor"].append(timed(floor.sync))
            for file in files:
                change(file, f"UPDATE items SET price = price + 1 WHERE id % {rows // _FEW} = 7")
            few_seconds["engine"].append(_sync(lab, few))
            few_seconds["floor"].append(timed(floor.sync))
        differing = 0.0 if lab.audit().clean else 1.0
    speed = measured([rows / s for s in idle["engine"]])
    idle_floor = measured([rows / s for s in idle["floor"]]).median
    target = 250_000 if rows == ROWS else None
    return [
        Result(f"{said}, nothing changed", "rows/s", speed, target=target, floor=idle_floor),
        _exact("nothing changed: rows written", [c.written for c in idle_counts], 0),
        _seconds(f"{said}, 1 % changed and 1 % deleted", delta_seconds),
        _exact("1 % changed: rows embedded", [c.embedded for c in deltas], percent),
        _exact("1 % deleted: rows deleted", [c.deleted for c in deltas], percent),
        _seconds(f"{said}, 1 % of prices changed", price_seconds),
        _exact("prices changed: rows embedded", [c.embedded for c in prices], 0),
        _exact("prices changed: rows written", [c.written for c in prices], percent),
        _seconds(f"{said}, {_FEW} prices changed", few_seconds),
        _exact("index differs from the source", [differing], 0),
    ]


run = partial(_run, ROWS)
run_large = partial(_run, 200_000)


def _source(folder: Path, rows: int) -> Path:
    folder.mkdir()
    file = folder / "source.db"
    file.write_bytes(database(rows))
    return file


def _sync(lab: Lab, counts: list[Counts]) -> float:
    return timed(lambda: counts.append(lab.sync().counts))


def _seconds(name: str, seconds: dict[str, list[float]]) -> Result:
    floor = measured(seconds["floor"]).median
    return Result(name, "s", measured(seconds["engine"]), Wanted.AT_MOST, _OF_FLOOR * floor, floor)


def _exact(name: str, counts: list[int] | list[float], wanted: int) -> Result:
    return Result(name, "rows", measured(counts), Wanted.EXACTLY, wanted)
