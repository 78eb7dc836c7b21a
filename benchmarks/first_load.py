"""A first load of 20,000 rows, from the start of Python to its end.

The registry is there and the job waits, as when a run is launched. The floor is a process that
loads the same table and does nothing else. Both take turns, by the clock and in processor time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.catalogue import ROWS, copied, lab_in, workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved
from semilayer_pipelines.control import lifecycle
from tests.lab import ENV

__all__ = ["run"]

_ROOT = Path(__file__).resolve().parents[1]
_REPETITIONS = 7
_TARGET = 1.0


def run() -> list[Result]:
    processor: dict[str, list[float]] = {"engine": [], "floor": []}
    read: list[float] = []
    with workplace() as place:

        def engine() -> float:
            lab = lab_in(place / "engine")
            job = lifecycle.request_rebuild(lab.project, ENV, lab.name)
            seconds, used = _process(str(lab.folder), job.id, ENV)
            processor["engine"].append(used)
            read.append(lab.index.count())
            return seconds

        def floor() -> float:
            shutil.rmtree(place / "floor", ignore_errors=True)
            copied(place / "floor")
            seconds, used = _process(str(place / "floor"))
            processor["floor"].append(used)
            return seconds

        sides: dict[str, Callable[[], float]] = {"engine": engine, "floor": floor}
        seconds = interleaved(sides, repetitions=_REPETITIONS)
    return [
        _beside("first load from a cold process", seconds, _TARGET),
        _beside(
            "first load from a cold process: processor",
            {side: used[-_REPETITIONS:] for side, used in processor.items()},
            None,
        ),
        Result("first load: rows in the index", "rows", measured(read), Wanted.EXACTLY, ROWS),
    ]


def _process(*arguments: str) -> tuple[float, float]:
    """Run one side; return its seconds and its seconds of processor."""
    command = [sys.executable, "-m", "benchmarks.first_load_probe", *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=_ROOT)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, used.ru_utime + used.ru_stime


def _beside(name: str, seconds: dict[str, list[float]], target: float | None) -> Result:
    floor = measured(seconds["floor"]).median
    return Result(name, "s", measured(seconds["engine"]), Wanted.AT_MOST, target, floor)
