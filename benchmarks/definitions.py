"""How long a fresh process needs for Dagster's definitions of 200 lenses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.catalogue import change, workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import timed
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.project import Project, Settings

__all__ = ["run"]

_LENSES = 200
_REPETITIONS = 3
_TARGET_SECONDS = 3.0
_ENV = "bench"
_LOAD = """
from semilayer_pipelines.orchestration.definitions import defs
print(sum(1 for node in defs.resolve_asset_graph().materializable_asset_keys))
"""


def run() -> list[Result]:
    with workplace() as folder:
        _register(folder)
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environ |= {"SEMILAYER_ENV": _ENV, "SEMILAYER_ROOT": str(folder)}
        environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        assets: list[float] = []

        def load() -> None:
            done = subprocess.run(
                [sys.executable, "-c", _LOAD],
                cwd=folder,
                env=environ,
                check=True,
                stdout=subprocess.PIPE,
            )
            assets.append(int(done.stdout))

        seconds = [timed(load) for _ in range(_REPETITIONS)]
    loaded = Result(
        f"definitions of {_LENSES} lenses",
        "s",
        measured(seconds),
        Wanted.AT_MOST,
        _TARGET_SECONDS,
    )
    # Runs fill one asset of a lens. The index in use and the source table are external.
    counted = Result("definitions: assets", "", measured(assets), Wanted.EXACTLY, _LENSES)
    return [loaded, counted]


def _register(folder: Path) -> None:
    change(
        folder / "source.db",
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT)",
    )
    lens = {
        "source": "main",
        "table": "items",
        "embedding": {"provider": "hash"},
        "syncInterval": "5m",
        "fields": {"name": {"type": "text", "searchable": True}},
    }
    config = ProjectConfig.model_validate(
        {
            "stack": "bench",
            "sources": {
                "main": {"bridge": "sql", "connection": f"sqlite:///{folder / 'source.db'}"}
            },
            "lenses": {f"lens-{number:03d}": lens for number in range(_LENSES)},
        }
    )
    project = Project(
        Settings.from_environ({"SEMILAYER_ENV": _ENV, "SEMILAYER_ROOT": str(folder)}, folder)
    )
    apply_push(project, plan_push(project, config, _ENV))
