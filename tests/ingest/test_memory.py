"""A worker of one gigabyte gets through rows of five megabytes, whatever the page would hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import SourceDatabase

ROWS = 120
MEGABYTES = 5
ALLOWED = 650
"""Megabytes above what the process takes before it reads; all rows together are 600."""

WORKER = """
import resource, sys
from pathlib import Path
from tests.lab import Lab

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

lab = Lab.opened(Path(sys.argv[1]), {})
lab.connection = sys.argv[2]
lab.push(fields={"v": {"type": "text", "searchable": True}})
before = peak()
done = lab.full()
print(done.counts.written, peak() - before)
"""


@pytest.mark.slow
def test_a_full_ingest_of_heavy_rows_holds_a_few_of_them(
    source: SourceDatabase, tmp_path: Path
) -> None:
    declared = "LONGTEXT" if source.kind == "mariadb" else "TEXT"
    text = "hex(zeroblob({n} / 2))" if source.kind == "sqlite" else "repeat('x', {n})"
    source.run(f"CREATE TABLE items (id INTEGER PRIMARY KEY, v {declared})")
    value = text.format(n=MEGABYTES * 2**20)
    source.run(*(f"INSERT INTO items VALUES ({i}, {value})" for i in range(ROWS)))
    folder = tmp_path / "project"
    folder.mkdir()

    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(folder), source.url],
        capture_output=True,
        text=True,
        check=True,
    )

    written, grown = map(int, done.stdout.split()[-2:])
    assert written == ROWS
    assert grown < ALLOWED
