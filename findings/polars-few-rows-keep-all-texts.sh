#!/usr/bin/env bash
# Package: polars 2.1.0 (with pyarrow 26.0.1).
#
# Behaviour: one row in a hundred is kept of each of 100 frames with texts. The kept rows hold all
# texts of their sources in memory, a hundred times what `estimated_size` tells. Neither `rechunk`
# nor `shrink_to_fit` nor `concat(rechunk=True)` lets go of them. A trip through Arrow and back
# does.
#
# A good guess: `shrink_to_fit` frees them. Its docstring says "Shrinks to fit the exact capacity
# needed to hold the data", and the one of `rechunk` says "to a contiguous allocation".
#
# For a vector index in sync with SQL tables: a run reads page after page and keeps only the changed
# rows. It needs the memory of the whole table, and no size that Polars reports says so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q 'polars==2.1.0' 'pyarrow==26.0.1'

cat >keep.py <<'PY'
import os
import sys
from pathlib import Path

import polars as pl
import pyarrow  # noqa: F401  (loaded before the first measurement)

keep = {
    "the filtered frames": lambda frame: frame,
    "rechunk": lambda frame: frame.rechunk(),
    "shrink_to_fit": lambda frame: frame.shrink_to_fit(),
    "concat with rechunk": lambda frame: pl.concat([frame, frame[:0]], rechunk=True),
    "through Arrow": lambda frame: pl.from_arrow(
        frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    ),
}


def page(number):
    ids = range(number * 10_000, (number + 1) * 10_000)
    return pl.DataFrame({"id": ids, "text": [f"{row} ".ljust(300, "x") for row in ids]})


def memory():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


page(0).filter(pl.col("id") % 100 == 0)
before = memory()
kept = [keep[sys.argv[1]](page(n).filter(pl.col("id") % 100 == 0)) for n in range(100)]
print(memory() - before, sum(frame.estimated_size("b") for frame in kept) / 1e6)
PY

venv/bin/python - <<'PY'
import subprocess
import sys

ways = [
    "the filtered frames",
    "rechunk",
    "shrink_to_fit",
    "concat with rechunk",
    "through Arrow",
]
grown = {}
for way in ways:
    output = subprocess.check_output([sys.executable, "keep.py", way], text=True)
    grown[way], estimated = map(float, output.split())
    print(f"{way:20}: {grown[way]:5.0f} MB more memory, estimated size {estimated:.1f} MB")

assert estimated < 5, "the estimated size changed"
for way in ways[:-1]:
    assert grown[way] > 5 * grown["through Arrow"], f"{way} lets go of the texts"
PY
