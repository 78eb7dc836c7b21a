"""An expected failure is told in a run's log without sixty lines of stack; a bug keeps its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.lab import Lab, as_environ

RUN = """
import sys
import dagster as dg
from semilayer_pipelines.orchestration.definitions import defs

config = {"ops": {"run_full_ingest": {"config": {"lens": "items", "env": "test"}}}}
job = defs.resolve_job_def("full_ingest")

def run():
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(instance=instance, raise_on_error=False, run_config=config)

run()
print("and a bug:", file=sys.stderr, flush=True)
import semilayer_pipelines.ingest.run_job as module
def broken(*args, **kwargs):
    raise RuntimeError("a bug")
module.run_job = broken
run()
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What a run logs that has no source, and one that meets a bug."""
    lab = Lab.at(tmp_path_factory.mktemp("lab"), rows=3)
    lab.database.unlink()
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=lab.folder,
        env=dict(os.environ) | as_environ(lab),
        capture_output=True,
        text=True,
        check=True,
    )
    expected, _, bug = done.stderr.partition("and a bug:")
    return expected, bug


def test_an_expected_failure_has_no_stack(logs: tuple[str, str]) -> None:
    log, _ = logs

    assert "STEP_FAILURE" in log
    assert log.count("there is no SQLite file") == 2
    assert "Stack Trace" not in log
    assert 'File "' not in log


def test_a_bug_keeps_its_stack(logs: tuple[str, str]) -> None:
    _, log = logs

    assert "RuntimeError: a bug" in log
    assert "in broken" in log
