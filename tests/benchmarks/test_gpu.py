"""The script for a machine with a GPU comes to its end on any; speeds are not looked at here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import TARGETS, Run, _take_turns, _told, _Worker
from semilayer_pipelines.embedders.local.probe import OWN

ROOT = Path(__file__).parents[2]


def test_a_part_that_fails_is_told_and_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # given a build that cannot be imported, and a process that is killed as for want of memory
    package = tmp_path / "semilayer_pipelines"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('half a checkout')")
    run = Run(40, None, patience=60)
    killed = _Worker(run, "ingest", ROOT)
    killed._process.kill()
    silent = _Worker(Run(40, None, patience=0.1), "ingest", ROOT)

    # when
    run.part("the old build", lambda: _Worker(run, "ours", tmp_path))
    ways = {"killed": ("killed", "whole", 40), "nobody": ("missing", "whole", 40)}
    ratios, speeds = _take_turns(run, {"killed": killed}, ways)
    run.part("silent", lambda: silent.answer("whole"))
    run.part("the next", lambda: print("goes on"))
    for worker in (killed, silent):
        worker.close()

    # then
    said = capsys.readouterr().out
    assert "the old build: left out: RuntimeError: half a checkout" in said
    assert "killed: left out: its process ended at 'whole'" in said
    assert "silent: left out: no answer to 'whole' within 0 s" in said
    assert said.endswith("goes on\n")
    assert not ratios
    assert not speeds
    assert not run.figures


def test_each_figure_stands_beside_its_target(capsys: pytest.CaptureFixture[str]) -> None:
    _told(Run(40, None, 60, figures={name: 6.0 for name in TARGETS}))
    lines = capsys.readouterr().out.splitlines()[1:]

    assert len(lines) == len(TARGETS) == 8
    met = [line.split(":")[0].strip() for line in lines if line.endswith(": met")]
    assert met == [name for name, target in TARGETS.items() if target <= 6]


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
    assert "left out" not in done.stdout
    for part in (
        "until the first vector, a new process, the second one",
        "× ours, pages of 2,000: ",
        "× the device alone, batches ready: ",
        "× encode, its defaults: ",
        "× the old build, pages of 10,000: ",
        "× 2x64, the device alone, batches ready: ",
        "SQLite to LanceDB, 40 rows in ",
        "  × the old build: ",
        "  s until the first vector: ",
        "  rows/s of a whole ingest: ",
    ):
        assert part in done.stdout, done.stdout
    cosine = re.search(r"least cosine with float32 of 40 texts; mean ([\d.]+)", done.stdout)
    assert cosine
    assert float(cosine[1]) >= OWN.mean
