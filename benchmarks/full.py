"""Full ingest: 20,000 rows into a new index, and the same again with every vector taken over."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.catalogue import ROWS, copied, lab_in, workplace
from benchmarks.floor import Floor
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved, timed

__all__ = ["run"]

_REPETITIONS = 7
_TARGET = 40_000.0


def run() -> list[Result]:
    with workplace() as folder:
        embedded: list[float] = []
        reused: list[float] = []

        def engine() -> float:
            lab = lab_in(folder / "engine")
            seconds = timed(lambda: embedded.append(lab.full().counts.embedded))
            rebuilds.append(timed(lambda: reused.append(lab.full().counts.reused)))
            return seconds

        rebuilds: list[float] = []
        seconds = interleaved(
            {"engine": engine, "floor": lambda: _floor(folder / "floor")}, repetitions=_REPETITIONS
        )
    speed = measured([ROWS / s for s in seconds["engine"]])
    floor = measured([ROWS / s for s in seconds["floor"]]).median
    again = measured([ROWS / s for s in rebuilds[-_REPETITIONS:]])
    return [
        Result("full ingest", "rows/s", speed, target=_TARGET, floor=floor),
        Result("full ingest: rows embedded", "rows", measured(embedded), Wanted.EXACTLY, ROWS),
        Result("rebuild, vectors taken over", "rows/s", again, floor=floor),
        Result("rebuild: vectors taken over", "rows", measured(reused), Wanted.EXACTLY, ROWS),
    ]


def _floor(folder: Path) -> float:
    shutil.rmtree(folder, ignore_errors=True)
    loop = Floor(copied(folder), folder / "lance")
    return timed(loop.full)
