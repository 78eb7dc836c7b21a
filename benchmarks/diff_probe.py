"""The process that is measured: the diff of the index in the folder that it is given."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.diff import CHANGED, DELETED, INDEX, hashed_rows
from benchmarks.memory_probe import peak_mb
from semilayer_pipelines.ingest.decision import Indexed
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.stores import open_store

__all__ = ["main"]

_PAGE_ROWS = 10_000  # as many as a walk reads when nothing has to be embedded


def main() -> None:
    folder, rows = Path(sys.argv[1]), int(sys.argv[2])
    index = open_store("lancedb", folder / "lance", "bench").open(INDEX)
    started, working = time.perf_counter(), time.process_time()
    known = KnownRows(index.scan())
    same = changed = new = 0
    for start in range(0, rows, _PAGE_ROWS):
        numbers = np.arange(start, min(start + _PAGE_ROWS, rows), dtype=np.uint64)
        there = numbers[numbers % 100 != DELETED]
        states = known.compare(hashed_rows(there, there % 100 == CHANGED))
        same += int((states == Indexed.SAME).sum())
        changed += int((states == Indexed.OTHER).sum())
        new += int((states == Indexed.NOTHING).sum())
    unseen = sum(part.len() for part in known.unseen(index.scan()))
    told = {
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - working,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(told | {"same": same, "changed": changed, "new": new, "unseen": unseen}))


if __name__ == "__main__":
    main()
