"""`python -m benchmarks [NAME...]`: run all benchmarks, or some, and show them in a table.

Exit code 1 when a count that must be exact is wrong or a benchmark did not come to its end, 2 for
a name that does not exist. A speed that was missed is shown and fails nothing: machines are busy.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.result import Result
from semilayer_pipelines.errors import SemilayerError, nearest

__all__ = ["main"]

OUT = Path(__file__).parent / "out" / "latest.json"

# In this order; the longest comes last. Modules are imported one by one, as torch need not be there
# while LanceDB is measured.
ON_REQUEST = {
    "prompts": ("benchmarks.prompts", "run"),
    "weaviate-server": ("benchmarks.weaviate_server", "run"),
}
"""What needs a server or a model of one's own, and so is run by its name only."""

BENCHMARKS = {
    "full": ("benchmarks.full", "run"),
    "first-load": ("benchmarks.first_load", "run"),
    "sync": ("benchmarks.sync", "run"),
    "sync200k": ("benchmarks.sync", "run_large"),
    "unchanged": ("benchmarks.unchanged", "run"),
    "sync1m": ("benchmarks.sync", "run_million"),
    "reading": ("benchmarks.reading", "run"),
    "diff10m": ("benchmarks.diff", "run"),
    "definitions": ("benchmarks.definitions", "run"),
    "start": ("benchmarks.start", "run"),
    "model": ("benchmarks.model", "run"),
    "embedder": ("benchmarks.embedder_service", "run"),
    "hosted": ("benchmarks.hosted", "run"),
    "webhook": ("benchmarks.webhook", "run"),
    "weaviate": ("benchmarks.weaviate", "run"),
    "freshness": ("benchmarks.freshness", "run"),
    "freshness-cdc": ("benchmarks.freshness_cdc", "run"),
    "cdc": ("benchmarks.cdc", "run"),
    "cdc-binlog": ("benchmarks.cdc_binlog", "run"),
    "fairness": ("benchmarks.fairness", "run"),
    "retrieval": ("benchmarks.retrieval", "run"),
    "recall": ("benchmarks.recall", "run"),
    "chunking": ("benchmarks.chunking", "run"),
    "retrieval-long": ("benchmarks.retrieval_long", "run"),
    "memory": ("benchmarks.memory", "run_small"),
    "million": ("benchmarks.memory", "run_large"),
}


def main(names: Sequence[str]) -> int:
    """Run the named benchmarks, all without names; return the exit code."""
    console = Console()
    for name in names:
        if name not in BENCHMARKS | ON_REQUEST:
            known = ", ".join([*BENCHMARKS, *ON_REQUEST])
            console.print(f"There is no benchmark {name!r}{nearest(name, list(BENCHMARKS))}.")
            console.print(f"Benchmarks: {known}.", style="dim")
            return 2
    console.print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}; medians "
        "(smallest to largest)",
        style="dim",
    )
    results: list[Result] = []
    failed: list[str] = []
    for name in names or BENCHMARKS:
        started = time.monotonic()
        try:
            with console.status(f"{name} ..."):
                results += _benchmark(name)()
        except (SemilayerError, subprocess.CalledProcessError) as error:
            # The others' numbers are not lost for it.
            failed.append(name)
            console.print(f"{name} failed: {error}", style="bold red", markup=False)
            continue
        console.print(f"{name}: {time.monotonic() - started:.0f} s", style="dim")
    console.print(_table(results))
    _keep(results)
    wrong = [result.name for result in results if result.wrong]
    if wrong:
        console.print(f"Wrong counts: {'; '.join(wrong)}.", style="bold red")
    return 1 if wrong or failed else 0


def _benchmark(name: str) -> Callable[[], list[Result]]:
    module, function = (BENCHMARKS | ON_REQUEST)[name]
    run: Callable[[], list[Result]] = getattr(importlib.import_module(module), function)
    return run


def _table(results: Iterable[Result]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for heading in ("value", "from", "to", "floor", "of floor", "target"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for result in results:
        target = "" if result.target is None else f"{result.wanted.value} {_figure(result.target)}"
        table.add_row(
            f"{result.name}, {result.unit}" if result.unit else result.name,
            _figure(result.value),
            _figure(result.measured.low),
            _figure(result.measured.high),
            "" if result.floor is None else _figure(result.floor),
            "" if result.ratio is None else f"{result.ratio:.2f}",
            target,
            {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[result.held],
        )
    return table


def _figure(number: float) -> str:
    if number == int(number) or abs(number) >= 1_000:
        return f"{number:,.0f}"
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"


def _keep(results: Iterable[Result]) -> None:
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps([result.as_dict() for result in results], indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
