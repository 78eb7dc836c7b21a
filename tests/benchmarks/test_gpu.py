"""The script for a machine with a GPU comes to its end on any; speeds are not looked at here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from semilayer_pipelines.embedders.local.probe import OWN

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_part_of_the_script_for_a_gpu_runs_in_small() -> None:
    asked = ["--rows", "40", "--larger", "2x64", "--old", str(ROOT)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for part in (
        "until the first vector, a new process, the second one",
        "× ours, pages of 2,000: ",
        "× the device alone, batches ready: ",
        "× encode, its defaults: ",
        "× the old build, pages of 10,000: ",
        "× 2x64, the device alone, batches ready: ",
        "SQLite to LanceDB, 40 rows in ",
    ):
        assert part in done.stdout, done.stdout
    cosine = re.search(r"least cosine with float32 of 40 texts; mean ([\d.]+)", done.stdout)
    assert cosine
    assert float(cosine[1]) >= OWN.mean
