"""An expected failure is told in a run's log without sixty lines of stack; a bug keeps its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.lab import Lab, as_environ

RUN = """
import sys
import dagster as dg
from semilayer_pipelines.orchestration.definitions import defs

bug = RuntimeError("a bug") if "bug" in sys.argv else None
if bug:
    import semilayer_pipelines.ingest.run_job as module
    def broken(*args, **kwargs):
        raise bug
    module.run_job = broken
config = {"ops": {"run_full_ingest": {"config": {"lens": "items", "env": "test"}}}}
job = defs.resolve_job_def("full_ingest")
with dg.DagsterInstance.ephemeral() as instance:
    job.execute_in_process(instance=instance, raise_on_error=False, run_config=config)
"""


def log_of(lab: Lab, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *options],
        cwd=lab.folder,
        env=dict(os.environ) | as_environ(lab),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_an_expected_failure_has_no_stack(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=3)
    lab.database.unlink()

    log = log_of(lab)

    assert "STEP_FAILURE" in log
    assert log.count("there is no SQLite file") == 2
    assert "Stack Trace" not in log
    assert 'File "' not in log


def test_a_bug_keeps_its_stack(tmp_path: Path) -> None:
    log = log_of(Lab.at(tmp_path, rows=3), "bug")

    assert "RuntimeError: a bug" in log
    assert "in broken" in log
