"""`--wait`: it never waits without a word, and knows when there is nothing to wait for."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from semilayer_pipelines.cli import follow
from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import SourceUnreachable
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, jobs, lenses
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.cli.conftest import run_queued
from tests.cli.project import SEMILAYER, Folder
from tests.patience import PATIENCE_SECONDS, eventually

ENV = "development"


@dataclass
class Meanwhile:
    """What goes on while a command waits: a step at each of its looks, and time nobody spends."""

    steps: list[Callable[[], object]] = field(default_factory=list)
    now: float = 0.0
    looks: int = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.looks += 1
        assert self.looks < 1_000, "it waits for what does not happen"
        if self.steps:
            self.steps.pop(0)()

    def a_minute(self) -> None:
        self.now += 60.0


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    found = Meanwhile()
    monkeypatch.setattr(follow, "time", found)
    return found


def fail_once(project: Project) -> None:
    """Let a run of the queued job not reach its source; it is queued again."""
    with project.registry.read() as db:
        (job,) = jobs.due(db, project.clock())
    with project.registry.begin() as db:
        jobs.join(db, job.id, run_id=None, now=project.clock())
        why = str(SourceUnreachable("The source did not answer."))
        now = project.clock()
        jobs.retry(db, job.id, lease=None, due_at=now, error=why, now=now)


def test_it_ends_with_what_the_job_did(folder: Folder, meanwhile: Meanwhile) -> None:
    folder.run("push")
    meanwhile.steps = [lambda: run_queued(folder)]

    done = folder.run("resume", "--wait")

    assert done.exit_code == 0
    assert "full completed" in done.stdout
    assert "20 written" in done.stdout


def test_a_job_that_fails_is_a_failure_with_the_cure(folder: Folder, meanwhile: Meanwhile) -> None:
    # given a lens whose table goes away after the push
    folder.run("push")
    folder.database.unlink()

    def run() -> None:
        with pytest.raises(Exception, match="no SQLite file"):
            run_queued(folder)

    meanwhile.steps = [run]

    # when
    done = folder.run("resume", "--wait")

    # then
    assert done.exit_code == 1
    assert "no SQLite file" in done.stderr
    assert "Check the path" in done.stderr


def test_a_queue_that_nobody_looks_at_is_told_with_what_to_start(
    folder: Folder, meanwhile: Meanwhile
) -> None:
    # given a project whose Dagster was never started
    folder.as_dagster_project()
    folder.run("push")
    project = folder.project
    meanwhile.steps = [meanwhile.a_minute, lambda: lifecycle.pause(project, ENV, "items")]

    # when
    done = folder.run("resume", "--wait")

    # then
    assert "No Dagster daemon is running for this project. Start it: `semilayer dev`" in done.stdout


def test_a_lens_that_is_paused_is_not_waited_for(folder: Folder, meanwhile: Meanwhile) -> None:
    folder.run("push")
    project = folder.project
    meanwhile.steps = [lambda: lifecycle.pause(project, ENV, "items")]

    done = folder.run("resume", "--wait")

    assert done.exit_code == 3
    assert "semilayer resume --lens items" in done.stderr


def test_what_waited_for_the_resume_is_followed_too(folder: Folder, meanwhile: Meanwhile) -> None:
    # given a lens that was told of a change while it was paused
    folder.run("push")
    folder.run("resume")
    run_queued(folder)
    folder.run("pause", "--lens", "items")
    project = folder.project
    with project.registry.begin() as db:
        lens = lenses.get(db, ENV, "items")
        changes.append(db, lens.id, [("1", Action.UPSERT)], project.clock())
        jobs.request(
            db, lens, Mode.RECORDS, job_id="held", origin="test", now=project.clock(), due_at=None
        )
    meanwhile.steps = [lambda: run_queued(folder)]

    # when
    done = folder.run("resume", "--lens", "items", "--wait")

    # then
    assert done.exit_code == 0
    assert "the records ingest that waited goes on, job held" in done.stdout
    assert "records completed" in done.stdout


def test_an_attempt_that_failed_is_told_before_the_next(
    folder: Folder, meanwhile: Meanwhile
) -> None:
    # given a run whose first attempt does not reach its source
    folder.run("push")
    meanwhile.steps = [lambda: fail_once(folder.project), lambda: run_queued(folder)]

    # when
    done = folder.run("resume", "--wait")

    # then
    assert done.exit_code == 0
    assert "The source did not answer. It will be tried again." in done.stdout


def test_ctrl_c_stops_following_and_nothing_else(folder: Folder, tmp_path: Path) -> None:
    # given somebody who follows a job
    folder.run("push")
    with (tmp_path / "said").open("wb") as said:
        follower = subprocess.Popen(
            [SEMILAYER, "resume", "--wait"],
            cwd=folder.path,
            env=folder.full_environ,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        eventually(lambda: folder.json("jobs"))
        # What it says of a job's failure shows that it has begun to follow it.
        fail_once(folder.project)
        eventually(lambda: "tried again" in (tmp_path / "said").read_text())

        # when
        os.kill(follower.pid, signal.SIGINT)

        # then
        assert follower.wait(PATIENCE_SECONDS) == 130
    finally:
        follower.kill()
        follower.wait()
    assert "semilayer jobs" in (tmp_path / "said").read_text()
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert [job["status"] for job in folder.json("jobs")] == ["queued"]
