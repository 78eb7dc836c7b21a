"""Weaviate itself, at `WEAVIATE_URL`: syncs, writes and searches, with an older build beside ours.

`SEMILAYER_BENCH_BESIDE` names a checkout of the older build. Both builds run the same work, in
processes of their own that take turns, so a busy moment of the machine falls on both. Without it
only ours is measured, and there are no ratios. `SEMILAYER_BENCH_ROWS` says how many rows the larger
index has; `SEMILAYER_BENCH_SERVER_PID` lets the server's memory be told.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved
from semilayer_pipelines.errors import ConfigError

__all__ = ["run"]

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("weaviate_worker.py")
_REPETITIONS = 5

# What is asked of a worker, and how much faster it has to be than in the older build.
_COMPARED = {
    "unchanged sync": 8.0,
    "1 % changed, 1 % deleted": 2.5,
    "import of 1,000": 0.95,
    "600 rows rewritten": 0.9,
    "300 tenants, 60 changed": 8.0,
}
_BOUNDED = {"1,000 tenants, unchanged": 15.0, "1,000 tenants, 100 changed": 10.0}


def run() -> list[Result]:
    """Measure what issue of speed there is on a real server; raises `ConfigError` without one."""
    if "WEAVIATE_URL" not in os.environ:
        raise ConfigError(
            "The benchmark weaviate-server needs a server.",
            cure="Set WEAVIATE_URL, and SEMILAYER_BENCH_BESIDE for a build to compare with.",
        )
    rows = int(os.environ.get("SEMILAYER_BENCH_ROWS", "20000"))
    beside = os.environ.get("SEMILAYER_BENCH_BESIDE")
    results: list[Result] = []
    with workplace() as folder, _worker(ROOT, "ours", folder, rows) as ours:
        others = {}
        if beside:
            with _worker(Path(beside), "theirs", folder, rows) as theirs:
                results += [_compared(name, ours, theirs, t) for name, t in _COMPARED.items()]
                others = theirs.ask("answers while 600 of 3,000 rows are rewritten")
        for name, seconds in _BOUNDED.items():
            ours.seconds(name)  # the first makes the index
            spent = measured([ours.seconds(name) for _ in range(3)])
            print(f"{name}: {spent.median:.2f} s", file=sys.stderr, flush=True)
            results.append(Result(f"weaviate: {name}", "s", spent, Wanted.AT_MOST, seconds))
        for tenants in ("", ", 30 tenants"):
            results += _answers(ours, tenants, others if not tenants else {})
        memory = ours.ask("memory")
        results.append(Result("weaviate: memory of the client", "MB", measured([memory["mb"]])))
    if server := os.environ.get("SEMILAYER_BENCH_SERVER_PID"):
        results.append(
            Result("weaviate: memory of the server", "MB", measured([_resident_mb(server)]))
        )
    return results


class _Worker:
    """One build in a process of its own, which does what a line says and answers with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, what: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise subprocess.CalledProcessError(self._process.wait(), f"the worker, at {what!r}")
        told: dict[str, Any] = json.loads(line)
        return told

    def seconds(self, what: str) -> float:
        return float(self.ask(what)["seconds"])


@contextmanager
def _worker(build: Path, name: str, folder: Path, rows: int) -> Iterator[_Worker]:
    # Without -P the script's own folder comes first, and `weaviate` is benchmarks/weaviate.py.
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", str(WORKER), name, str(folder / name), str(rows)],
        cwd=build,
        env=os.environ | {"PYTHONPATH": str(build)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _Worker(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=120)


def _compared(name: str, ours: _Worker, theirs: _Worker, target: float) -> Result:
    spent = interleaved(
        {"ours": lambda: ours.seconds(name), "theirs": lambda: theirs.seconds(name)},
        repetitions=_REPETITIONS,
    )
    floor = measured(spent["theirs"]).median
    ratios = [old / new for old, new in zip(spent["theirs"], spent["ours"], strict=True)]
    label = f"weaviate: {name}, the older build's time ({floor:.2f} s) over ours"
    print(f"{label}: {[round(ratio, 2) for ratio in ratios]}", file=sys.stderr, flush=True)
    return Result(label, "", measured(ratios), target=target)


def _answers(ours: _Worker, tenants: str, others: dict[str, Any]) -> list[Result]:
    told = ours.ask(f"answers while 600 of 3,000 rows are rewritten{tenants}")
    print(f"beside a writer{tenants}: {told}", file=sys.stderr, flush=True)
    name = f"weaviate: of {told['answers']:,} answers beside a writer{tenants}"
    results = [
        Result(f"{name}, {kind}", "", measured([told[kind]]), Wanted.EXACTLY, 0)
        for kind in ("short", "doubled")
    ]
    if others:
        label = f"weaviate: of {others['answers']:,} answers of the older build, short"
        results.append(Result(label, "", measured([others["short"]])))
    return results


def _resident_mb(pid: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1_000
    return 0.0
