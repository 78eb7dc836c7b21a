"""One run of a real Dagster does the jobs of several lenses; a person stops it, or it is killed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from semilayer_pipelines.registry import generations, lenses
from semilayer_pipelines.registry.jobs import Job, JobStatus
from tests.cli.project import Folder
from tests.gate import Gate
from tests.orchestration.dev import Dev, kill, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ENV = "development"
ROWS = 200
GATES = ("cancelled", "killed")


@dataclass(frozen=True)
class Running:
    dev: Dev
    gates: dict[str, Gate]

    def post(self, lens: str, key: str) -> Job:
        """Change a row of the table, tell the webhook, and return the job."""
        with sqlite3.connect(self.dev.folder.database) as db:
            db.execute("UPDATE items SET name = ? WHERE id = ?", (f"new for {lens}", key))
        db.close()
        changes = [{"id": key, "action": "upsert"}]
        with self.dev.webhook as webhook:
            told = webhook.post(f"/v1/ingest/{lens}", json={"mode": "records", "changes": changes})
            assert told.status_code == 202, told.text
        return self.dev.job(told.json()["jobId"])

    def over(self, job: Job, seconds: float = 60) -> Job:
        def ended() -> Job | None:
            row = self.dev.job(job.id)
            return row if row.status is JobStatus.COMPLETED else None

        found = until(ended, seconds, f"the end of a job of {job.lens}")
        assert found
        return found

    def shows(self, lens: str, key: str) -> object:
        project = self.dev.folder.project
        with project.registry.read() as db:
            active = generations.active(db, lenses.get(db, ENV, lens).id)
        assert active is not None
        row = project.store(ENV).open(active.index_name).get(key)
        return row and row["name"]

    def stand_in_anothers_run(self, lens: str, key: str) -> tuple[Job, int]:
        """Let a run that lingers stand in the middle of a job of `lens`; return job and process."""
        self.over(self.post("first", key))
        self.gates[lens].close()
        job = self.post(lens, key)
        pid = self.gates[lens].wait_until_reached()
        job = self.dev.job(job.id)
        assert job.run_id
        assert not self.dev.graphql.runs_of(job.id), "it has a run of its own"
        return job, pid


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("shared")
    folder = Folder.at(path, rows=ROWS)
    gates = {name: Gate(path, f"gate_{name}") for name in GATES}
    folder.write(
        lenses={"first": {}, "quiet": {}}
        | {name: {"fields": gate.fields} for name, gate in gates.items()}
    )
    dev = Dev(folder)
    folder.run("push")
    try:
        dev.start()
        for name in ("first", "quiet", *GATES):
            dev.waiting_command("resume", "--lens", name, "--wait")
        yield Running(dev, gates)
    finally:
        for gate in gates.values():
            gate.open()
        dev.stop()


def test_a_quiet_lens_is_served_by_the_run_of_another(running: Running) -> None:
    # given a lens whose run lingers
    first = running.over(running.post("first", "5"))

    # when another lens is told of a change
    quiet = running.over(running.post("quiet", "5"), seconds=15)

    # then that run has applied it
    assert quiet.run_id == first.run_id
    assert running.shows("quiet", "5") == "new for quiet"
    # and its page says which run it was
    story = running.dev.folder.run("jobs", quiet.id[:8]).stdout
    assert f"/runs/{first.run_id}" in story


def test_who_cancels_a_run_stops_its_own_lens_and_no_other(running: Running) -> None:
    # given a run that does a job of another lens
    job, _ = running.stand_in_anothers_run("cancelled", "6")

    # when a person terminates it
    run_id = job.run_id or ""
    running.dev.graphql.terminate(run_id)
    until(lambda: running.dev.graphql.status(run_id) == "CANCELED", 15, "the run's end")
    running.gates["cancelled"].open()

    # then the other lens's job is done by another run, as if nothing had been
    done = running.over(job)
    assert (done.attempt, done.run_id != run_id) == (1, True)
    assert running.shows("cancelled", "6") == "new for cancelled"


def test_a_run_that_is_killed_loses_no_lens_its_job(running: Running) -> None:
    # given a run that does a job of another lens
    job, pid = running.stand_in_anothers_run("killed", "7")

    # when its process is killed
    kill(pid)
    running.gates["killed"].open()

    # then the job is found and done by another run
    done = running.over(job, seconds=120)
    assert (done.attempt, done.run_id != job.run_id) == (2, True)
    assert running.shows("killed", "7") == "new for killed"
    assert running.dev.graphql.status(job.run_id or "") == "FAILURE"
