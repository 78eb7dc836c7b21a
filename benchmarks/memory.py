"""Peak memory of a process: full ingest, sync of nothing, audit, sync of changes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from tests.workload import create_items

__all__ = ["run_large", "run_small"]

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class _Probe:
    """What `benchmarks.memory_probe` printed."""

    full_seconds: float
    pages_peak_mb: float
    full_peak_mb: float
    sync_seconds: float
    sync_peak_mb: float
    audit_seconds: float
    audit_peak_mb: float
    changed_seconds: float
    changed_peak_mb: float


def _run(rows: int, limit_mb: float, changed_limit_mb: float) -> list[Result]:
    with workplace() as folder:
        # Not in the process that is measured: it must not count what writing the table takes.
        create_items(folder / "source.db", rows)
        command = [sys.executable, "-m", "benchmarks.memory_probe", str(folder)]
        done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE)
        probe = _Probe(**json.loads(done.stdout))

    def one(what: str, unit: str, value: float, target: float | None) -> Result:
        name = f"{rows:,} rows: {what}"
        return Result(name, unit, measured([value]), Wanted.AT_MOST, target)

    return [
        one("peak memory, up to the last page", "MB", probe.pages_peak_mb, limit_mb),
        one("peak memory, indexes built and published", "MB", probe.full_peak_mb, limit_mb),
        one("peak memory, and a sync after that", "MB", probe.sync_peak_mb, limit_mb),
        one("full ingest, imports included", "s", probe.full_seconds, None),
        one("peak memory, and an audit after that", "MB", probe.audit_peak_mb, limit_mb),
        one("sync, nothing changed", "s", probe.sync_seconds, None),
        one("audit (`semilayer verify`)", "s", probe.audit_seconds, None),
        one("peak memory, and a sync of changes", "MB", probe.changed_peak_mb, changed_limit_mb),
        one("sync, 1 % changed and 1 % deleted", "s", probe.changed_seconds, None),
    ]


run_small = partial(_run, 200_000, 400.0, 450.0)
run_large = partial(_run, 1_000_000, 600.0, 600.0)
