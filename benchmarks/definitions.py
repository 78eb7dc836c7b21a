"""What Dagster's definitions of many lenses cost a fresh process, and a tick with nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.catalogue import change, workplace
from benchmarks.result import Result, Wanted, measured
from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.control.push import apply_push, plan_push
from semilayer_pipelines.project import Project, Settings

__all__ = ["run"]

_REPETITIONS = 3
_TARGETS = {200: 2.0, 1_000: 6.0}
"""Seconds of processor by number of lenses."""

_TICKS = 20
_TICK_TARGET = 0.05
_ENV = "bench"
_LOAD = """
import json, time
from semilayer_pipelines.orchestration.definitions import defs
import dagster as dg
repository = defs.get_repository_def()
assets = sum(1 for node in defs.resolve_asset_graph().materializable_asset_keys)
loaded = time.process_time()
sensor = repository.get_sensor_def("due_jobs")
project = (defs.resources or {})["semilayer"]
with dg.DagsterInstance.ephemeral() as instance:
    ticks = []
    for _ in range(%d):
        context = dg.build_sensor_context(instance=instance, resources={"semilayer": project})
        began = time.process_time()
        sensor.evaluate_tick(context)
        ticks.append(time.process_time() - began)
print(json.dumps([loaded, sorted(ticks)[len(ticks) // 2], assets]))
"""


def run() -> list[Result]:
    return [result for number, target in _TARGETS.items() for result in _of(number, target)]


def _of(number: int, target: float) -> list[Result]:
    with workplace() as folder:
        _register(folder, number)
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environ |= {"SEMILAYER_ENV": _ENV, "SEMILAYER_ROOT": str(folder)}
        environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
        seen = []
        for _ in range(_REPETITIONS):
            done = subprocess.run(
                [sys.executable, "-c", _LOAD % _TICKS],
                cwd=folder,
                env=environ,
                check=True,
                stdout=subprocess.PIPE,
            )
            seen.append(json.loads(done.stdout.splitlines()[-1]))
    loaded, ticks, assets = (list(column) for column in zip(*seen, strict=True))
    told = f"definitions of {number:,} lenses"
    return [
        Result(f"{told}: processor", "s", measured(loaded), Wanted.AT_MOST, target),
        Result(f"{told}: idle tick", "s", measured(ticks), Wanted.AT_MOST, _TICK_TARGET),
        # Runs fill one asset of a lens. The index in use and the source table are external.
        Result(f"{told}: assets", "", measured(assets), Wanted.EXACTLY, number),
    ]


def _register(folder: Path, number: int) -> None:
    change(
        folder / "source.db",
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT)",
    )
    lens = {
        "source": "main",
        "table": "items",
        "embedding": {"provider": "hash"},
        "syncInterval": "5m",
        "deps": ["dbt/items"],
        "automation": "eager",
        "freshness": "1h",
        "owners": ["team:data"],
        "tags": {"domain": "shop"},
        "description": "What the shop sells.",
        "fields": {"name": {"type": "text", "searchable": True}},
    }
    config = ProjectConfig.model_validate(
        {
            "stack": "bench",
            "sources": {
                "main": {"bridge": "sql", "connection": f"sqlite:///{folder / 'source.db'}"}
            },
            "lenses": {f"lens-{n:04d}": lens for n in range(number)},
        }
    )
    project = Project(
        Settings.from_environ({"SEMILAYER_ENV": _ENV, "SEMILAYER_ROOT": str(folder)}, folder)
    )
    apply_push(project, plan_push(project, config, _ENV))
