"""Smart sync of 20,000 rows: nothing changed; 1 % changed and 1 % deleted; only prices changed."""

from __future__ import annotations

from benchmarks.catalogue import ROWS, change, copied, lab_in, workplace
from benchmarks.floor import Floor
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.counts import Counts
from tests.lab import Lab

__all__ = ["run"]

_IDLE_REPETITIONS = 15
_REPETITIONS = 5
_PERCENT = ROWS // 100


def run() -> list[Result]:
    with workplace() as folder:
        lab = lab_in(folder / "engine")
        floor = Floor(copied(folder / "floor"), folder / "floor" / "lance")
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
        delta_seconds: dict[str, list[float]] = {"engine": [], "floor": []}
        price_seconds: dict[str, list[float]] = {"engine": [], "floor": []}
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
        differing = 0.0 if lab.audit().clean else 1.0
    speed = measured([ROWS / s for s in idle["engine"]])
    idle_floor = measured([ROWS / s for s in idle["floor"]]).median
    return [
        Result("sync, nothing changed", "rows/s", speed, target=250_000, floor=idle_floor),
        _exact("sync, nothing changed: rows written", [c.written for c in idle_counts], 0),
        _seconds("sync, 1 % changed and 1 % deleted", delta_seconds),
        _exact("1 % changed: rows embedded", [c.embedded for c in deltas], _PERCENT),
        _exact("1 % deleted: rows deleted", [c.deleted for c in deltas], _PERCENT),
        _seconds("sync, 1 % of prices changed", price_seconds),
        _exact("prices changed: rows embedded", [c.embedded for c in prices], 0),
        _exact("prices changed: rows written", [c.written for c in prices], _PERCENT),
        _exact("index differs from the source", [differing], 0),
    ]


def _sync(lab: Lab, counts: list[Counts]) -> float:
    return timed(lambda: counts.append(lab.sync().counts))


def _seconds(name: str, seconds: dict[str, list[float]]) -> Result:
    floor = measured(seconds["floor"]).median
    return Result(name, "s", measured(seconds["engine"]), Wanted.AT_MOST, 0.3, floor)


def _exact(name: str, counts: list[int] | list[float], wanted: int) -> Result:
    return Result(name, "rows", measured(counts), Wanted.EXACTLY, wanted)
