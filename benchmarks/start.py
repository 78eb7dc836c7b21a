"""What a command takes from the start of Python to its end, where nothing has to be embedded.

The floor is a Python that imports the same libraries, each as its makers meant it, and does nothing
with them. Seconds are of processor, user and system: the clock also counts what others take.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.catalogue import workplace
from benchmarks.result import Result, measured
from benchmarks.timing import interleaved
from tests.cli.conftest import run_queued
from tests.cli.project import Folder

__all__ = ["run"]

_ROWS = 50
_REPETITIONS = 10
_EVERY = "click, rich.console, pydantic, sqlalchemy.dialects.sqlite"
_COMMANDS = {
    "status": _EVERY,
    "push --dry-run": f"{_EVERY}, ruamel.yaml, polars, adbc_driver_sqlite.dbapi, lancedb",
    "search items flow": f"{_EVERY}, polars, lancedb",
}
"""Each with the libraries that it needs."""

_RUN = "from semilayer_pipelines.cli.main import main; main()"


def run() -> list[Result]:
    with workplace() as place:
        folder = _indexed(place)
        actions = {}
        for command, libraries in _COMMANDS.items():
            actions[command] = partial(_processor, folder, _RUN, *command.split())
            actions[f"{command}: floor"] = partial(_processor, folder, f"import {libraries}")
        seconds = interleaved(actions, repetitions=_REPETITIONS)
    return [
        Result(
            f"semilayer {command}: processor",
            "s",
            measured(seconds[command]),
            floor=measured(seconds[f"{command}: floor"]).median,
        )
        for command in _COMMANDS
    ]


def _indexed(place: Path) -> Folder:
    folder = Folder.at(place, rows=_ROWS)
    for command in ("push", "resume"):
        done = folder.run(command)
        if done.exit_code:
            raise RuntimeError(done.output)
    run_queued(folder)
    return folder


def _processor(folder: Folder, code: str, *arguments: str) -> float:
    """Run Python in the project's folder; return the seconds of processor that it took."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder.path,
        env=folder.full_environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [code, *arguments])
    return used.ru_utime + used.ru_stime
