"""What a command takes from the start of Python, where nothing has to be embedded.

A person feels the seconds of the clock until the first character is shown on a terminal. The clock
also counts what others take, so the seconds of processor to the end, user and system, stand beside
it. The floor is a Python that imports the same libraries, each as its makers meant it, and does
nothing with them.

The project has ten lenses: packages of Debian with the default model and keywords, and nine of made
up rows, whose vectors are a hash.
"""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved
from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.workload import FIELDS, create_items

__all__ = ["run"]

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = _ROOT / "examples" / "debian" / "packages.parquet"
_ROWS = 200  # of each table
_LENSES = 10
_REPETITIONS = 10
_MAX_FIRST_SECONDS = 0.6
_EVERY = "click, pydantic, sqlalchemy.dialects.sqlite"
_COMMANDS = {
    "status": f"{_EVERY}, rich.console",
    "push --dry-run": f"{_EVERY}, ruamel.yaml, polars, adbc_driver_sqlite.dbapi, tokenizers",
    "search packages plot --mode keyword": f"{_EVERY}, polars, lancedb",
}
"""Each with the libraries that it needs."""

_RUN = "from semilayer_pipelines.cli.main import main; main()"


@dataclass(frozen=True)
class _Took:
    """Seconds of the clock until something was shown and until the end, and of processor."""

    first: float | None
    end: float
    processor: float


def run() -> list[Result]:
    with workplace() as place:
        folder = _indexed(place)
        actions: dict[str, Callable[[], _Took]] = {}
        for command, libraries in _COMMANDS.items():
            actions[command] = partial(_take, folder, _RUN, *command.split())
            actions[f"{command}: floor"] = partial(_take, folder, f"import {libraries}")
        took = interleaved(actions, repetitions=_REPETITIONS)
    return [result for command in _COMMANDS for result in _results(command, took)]


def _results(command: str, took: dict[str, list[_Took]]) -> list[Result]:
    mine, floor = took[command], took[f"{command}: floor"]
    shown = [one.first for one in mine if one.first is not None]
    name = f"semilayer {command}"
    return [
        Result(f"{name}: first line", "s", measured(shown), Wanted.AT_MOST, _MAX_FIRST_SECONDS),
        Result(
            f"{name}: end",
            "s",
            measured([one.end for one in mine]),
            floor=measured([one.end for one in floor]).median,
        ),
        Result(
            f"{name}: processor",
            "s",
            measured([one.processor for one in mine]),
            floor=measured([one.processor for one in floor]).median,
        ),
    ]


def _indexed(place: Path) -> Folder:
    folder = Folder(place, {"SEMILAYER_DAGSTER_URL": "http://127.0.0.1:1"})
    create_items(folder.database, _ROWS)
    _create_packages(place / "debian.db")
    items = {
        "source": "main",
        "table": "items",
        "embedding": {"provider": "hash"},
        "fields": FIELDS,
    }
    packages = {
        "source": "debian",
        "table": "packages",
        "primaryKey": "name",
        "fields": {
            "name": {"type": "text", "keyword": "exact"},
            "summary": {"type": "text", "searchable": {"weight": 2}, "keyword": True},
            "description": {"type": "text", "searchable": True, "keyword": True},
            "section": {"type": "text"},
        },
    }
    config = {
        "stack": "start",
        "sources": {
            name: {"bridge": "sql", "connection": f"sqlite:///{place}/{file}.db"}
            for name, file in {"main": "source", "debian": "debian"}.items()
        },
        "lenses": {"packages": packages} | {f"items{n}": items for n in range(1, _LENSES)},
    }
    # JSON is YAML.
    (place / "sl.config.yaml").write_text(json.dumps(config, indent=2))
    for command in ("push", "resume"):
        done = folder.run(command)
        if done.exit_code:
            raise RuntimeError(done.output)
    run_queued(folder)
    return folder


def _create_packages(database: Path) -> None:
    names = ["name", "summary", "description", "section"]
    rows = pl.read_parquet(_PACKAGES, columns=names).head(_ROWS)
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(
            "CREATE TABLE packages (name TEXT PRIMARY KEY, summary TEXT, description TEXT,"
            " section TEXT)"
        )
        db.executemany("INSERT INTO packages VALUES (?, ?, ?, ?)", rows.select(names).iter_rows())


def _take(folder: Folder, code: str, *arguments: str) -> _Took:
    """Run Python in the project's folder, on a terminal."""
    # What was compiled is kept, as it is for whoever has installed the package.
    kept = {k: v for k, v in folder.full_environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    terminal, its_end = pty.openpty()
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder.path,
        env=kept | {"PYTHONPATH": str(_ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    first: float | None = None
    shown = b""
    while read := _read(terminal):
        first = first or time.perf_counter() - started
        shown += read
    _, status, used = os.wait4(process.pid, 0)
    end = time.perf_counter() - started
    os.close(terminal)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(shown.decode(errors="replace"))
    return _Took(first, end, used.ru_utime + used.ru_stime)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux tells that nobody writes to a terminal any more
        return b""
