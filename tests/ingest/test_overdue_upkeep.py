"""Upkeep that finds no room: the rows are written, so the job has completed, and it is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_JOBS = """
import resource, signal, sys
from pathlib import Path

import pytest
from semilayer_pipelines.registry import jobs
from tests.lab import Lab

folder = Path(sys.argv[1])
lab = Lab.at(folder, rows=6_000)

def sync():
    with lab.source() as db:
        db.execute("UPDATE items SET price = price + 1 WHERE id % 100 = ?", [sync.number])
    sync.number += 1
    outcome = lab.sync()
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        return outcome, jobs.get(db, outcome.job_id)

sync.number = 0
lab.full()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
# A page fits, and the table written as one file does not.
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
for _ in range(25):
    outcome, job = sync()
    if outcome.overdue:
        break
assert job.status.value == "completed", job
assert job.error.startswith("The rows are written, but the upkeep of the index is overdue"), job
assert "no room left" in job.error and "Free disk space" in job.cure, job
print("overdue", flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
outcome, job = sync()
assert outcome.overdue is None and job.error is None, job
print("kept up", flush=True)
"""


def _status(folder: Path) -> str:
    command = [str(Path(sys.executable).with_name("semilayer")), "status", "--env", "test"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_job_whose_rows_are_written_completes_without_room_for_upkeep(tmp_path: Path) -> None:
    # given an index that is due for compaction, and files that may not grow large enough for it
    with subprocess.Popen(
        [sys.executable, "-c", _JOBS, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None

        # when a job is done then, it has completed, and status says what is overdue
        told = process.stdout.readline()
        assert told == "overdue\n", process.stderr.read()
        assert "upkeep of the index is overdue" in _status(tmp_path)

        # then the next job with room makes up for it
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "kept up\n", process.stderr.read()
    assert "overdue" not in _status(tmp_path)
