"""`python -m benchmarks.whole FILE`: ingest a whole catalogue once, and say how long it took.

FILE is a Parquet file with the columns of `benchmarks/data/packages.parquet`. Takes minutes to an
hour, so it is no part of `make bench`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from benchmarks.catalogue import workplace
from benchmarks.packages import COLUMNS, lab_of
from benchmarks.timing import timed
from semilayer_pipelines.ingest.job_outcome import Outcome
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.registry import generations

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Ingest the file that is named; return the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        print("Name one Parquet file: make bench-full CATALOGUE=packages.parquet")
        return 2
    rows = pl.read_parquet(arguments[0], columns=list(COLUMNS))
    outcomes: list[Outcome] = []
    with workplace() as folder:
        lab = lab_of(folder / "engine", rows)
        seconds = timed(lambda: outcomes.append(lab.full(report=_show)))
        with lab.project.registry.read() as db:
            active = generations.active(db, lab.lens.id)
    counts = outcomes[0].counts
    by = ", ".join(active.embedded_by) if active else "nothing"
    print(
        f"{counts.written:,} of {rows.height:,} rows in {seconds:,.0f} s with {by}: "
        f"{counts.read / seconds:,.0f} rows/s, {counts.tokens / seconds:,.0f} tokens/s"
    )
    return 0 if counts.written == rows.height else 1


def _show(done: PageDone) -> None:
    print(f"{done.total.read:,} of {done.expected_rows or 0:,} rows: {done.speed}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
