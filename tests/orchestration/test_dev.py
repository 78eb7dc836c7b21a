"""The whole thing as a person runs it: `semilayer dev`, real runs, real signals.

Starting and waiting is slow, so all tests share one Dagster; each has a lens of its own.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from semilayer_pipelines.orchestration.remote.diagnose import why_waiting
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import generations, lenses
from semilayer_pipelines.registry.jobs import JobStatus
from tests.cli.project import Folder
from tests.gate import Gate, alive
from tests.orchestration.dev import Dev, kill, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ENV = "development"
SHARDS = ["s00", "s01", "s02", "s03"]
ROWS = 3_000


@dataclass(frozen=True)
class Begun:
    """A running Dagster, and what was set going at once because its end is a minute away."""

    dev: Dev
    gates: dict[str, Gate]
    backfill: str
    killed_job: str


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begun]:
    path = tmp_path_factory.mktemp("dev")
    folder = Folder.at(path, rows=ROWS)
    gates = {name: Gate(path, f"gate_{name}") for name in ("killed", "cancelled", "stopped")}
    lenses: dict[str, dict[str, object]] = {"plain": {}, "posted": {}, "filled": {"shards": 4}}
    lenses |= {name: {"fields": gate.fields} for name, gate in gates.items()}
    folder.write(lenses=lenses)
    dev = Dev(folder)
    folder.run("push")
    try:
        dev.start()
        # A backfill is looked at every thirty seconds, a lost process missed after forty-five.
        backfill = dev.graphql.backfill([ENV, "filled"], SHARDS)
        gates["killed"].close()
        folder.run("resume", "--lens", "killed")
        kill(gates["killed"].wait_until_reached())
        gates["killed"].open()
        yield Begun(dev, gates, backfill, dev.latest_job("killed").id)
    finally:
        for gate in gates.values():
            gate.open()
        dev.stop()


def indexed(project: Project, lens: str) -> int:
    """Count the rows that searches of a lens see."""
    with project.registry.read() as db:
        active = generations.active(db, lenses.get(db, ENV, lens).id)
    return project.store(ENV).open(active.index_name).count() if active else 0


def test_an_ingest_and_a_sync_are_done_while_the_command_waits(begun: Begun) -> None:
    # given a lens that is ingested
    dev = begun.dev
    assert f"{ROWS:,} written" in dev.waiting_command("resume", "--lens", "plain", "--wait")
    assert "Dagster is running" in why_waiting(dev.folder.path)

    # when its source changes
    with sqlite3.connect(dev.folder.database) as db:
        db.execute("UPDATE items SET name = 'something else' WHERE id = 7")
    db.close()
    said = dev.waiting_command("sync", "--lens", "plain", "--wait")

    # then the sync embeds just that
    assert f"{ROWS - 1:,} unchanged, 1 embedded" in said
    assert dev.graphql.status(dev.latest_job("plain").run_id or "") == "SUCCESS"


def test_a_pushed_lens_is_shown_within_seconds(begun: Begun) -> None:
    # given
    dev = begun.dev
    config = dev.folder.path / "sl.config.yaml"
    before = config.read_text()
    assert f"{ENV}/novel" not in dev.graphql.asset_keys()

    # when
    dev.folder.write(lenses={"novel": {}})
    said = dev.folder.run("push", "--lens", "novel").stdout
    config.write_text(before)

    # then
    assert "shows them" in said
    until(lambda: f"{ENV}/novel" in dev.graphql.asset_keys(), 10, "the new asset")


def test_a_cancelled_run_stops_in_the_middle_of_a_page_and_loses_nothing(begun: Begun) -> None:
    # given a run in the middle of a page
    dev, gate = begun.dev, begun.gates["cancelled"]
    gate.close()
    dev.folder.run("resume", "--lens", "cancelled")
    gate.wait_until_reached()
    job = dev.latest_job("cancelled")
    assert job.run_id

    # when a person terminates it
    dev.graphql.terminate(job.run_id)

    # then it is over within seconds, and its job says who ended it
    until(lambda: dev.graphql.status(job.run_id or "") == "CANCELED", 15, "the run's end")
    until(lambda: dev.job(job.id).status is JobStatus.CANCELED, 5, "the job's end")

    # and nobody brings it back, until the lens is resumed
    gate.open()
    dev.waiting_command("resume", "--lens", "cancelled", "--wait")
    assert dev.latest_job("cancelled").id != job.id
    assert indexed(dev.folder.project, "cancelled") == ROWS


def test_two_runs_of_one_kind_do_not_overlap_whoever_launched_them(begun: Begun) -> None:
    # given a run that stands in the middle of a page
    dev, gate = begun.dev, begun.gates["cancelled"]
    tags = {".dagster/semilayer-singleton": f"full:{ENV}:cancelled"}
    config = {"lens": "cancelled", "env": ENV}
    gate.close()
    first = dev.graphql.launch("full_ingest", config, tags)
    gate.wait_until_reached()

    # when another is launched, then it waits in the queue
    second = dev.graphql.launch("full_ingest", config, tags)
    until(lambda: dev.graphql.status(second) == "QUEUED", 10, "the second run in the queue")
    time.sleep(4)  # four looks of Dagster at its queue
    assert dev.graphql.status(second) == "QUEUED"

    # and both end well, one after the other
    gate.open()
    until(lambda: dev.graphql.status(first) == "SUCCESS", 30, "the first run's end")
    until(lambda: dev.graphql.status(second) == "SUCCESS", 60, "the second run's end")


def test_a_change_that_is_posted_is_searchable_seconds_later(begun: Begun) -> None:
    # given a lens that is indexed
    dev = begun.dev
    dev.waiting_command("resume", "--lens", "posted", "--wait")
    with sqlite3.connect(dev.folder.database) as db:
        db.execute("UPDATE items SET name = 'a rather new name' WHERE id = 9")
    db.close()

    # when a caller tells the webhook and waits for the job
    changes = [{"id": "9", "action": "upsert"}, {"id": "none", "action": "delete"}]
    with dev.webhook as webhook:
        posted = webhook.post("/v1/ingest/posted", json={"mode": "records", "changes": changes})
        assert posted.status_code == 202, posted.text
        job = webhook.get(f"/v1/jobs/{posted.json()['jobId']}?wait=30").json()

        # then it is done, by the one run that the webhook itself launched
        assert (job["status"], job["counts"]["written"]) == ("completed", 1), job
        sought = {"query": "any", "where": {"name": "a rather new name"}}
        found = webhook.post("/v1/search/posted", json=sought).json()
    assert [hit["id"] for hit in found["results"]] == ["9"]
    assert indexed(dev.folder.project, "posted") == ROWS
    runs = dev.graphql.runs_of(job["id"])
    assert [run["status"] for run in runs] == ["STARTED"]  # it lingers
    tags = {tag["key"] for tag in runs[0]["tags"]}
    assert "dagster/sensor_name" not in tags
    assert "dagster/run_key" in tags  # by which the sensor knows it, should a person cancel it


def test_a_killed_run_is_noticed_and_its_job_completed(begun: Begun) -> None:
    # given a run whose process was killed in the middle of a page (see the fixture)
    dev = begun.dev

    # when nobody does anything
    until(lambda: dev.job(begun.killed_job).status is JobStatus.COMPLETED, 120, "the job's end")

    # then it was done by another attempt, and whole
    assert dev.job(begun.killed_job).attempt == 2
    assert indexed(dev.folder.project, "killed") == ROWS


def test_a_backfill_of_all_shards_publishes_the_index(begun: Begun) -> None:
    dev = begun.dev

    until(
        lambda: dev.graphql.backfill_status(begun.backfill) == "COMPLETED_SUCCESS",
        120,
        "the backfill's end",
    )

    assert indexed(dev.folder.project, "filled") == ROWS
    assert dev.latest_job("filled").status is JobStatus.COMPLETED


def test_ctrl_c_stops_everything_and_the_next_start_goes_on(begun: Begun) -> None:
    # given a run in the middle of a page
    dev, gate = begun.dev, begun.gates["stopped"]
    gate.close()
    dev.folder.run("resume", "--lens", "stopped")
    gate.wait_until_reached()
    job = dev.latest_job("stopped")
    family = dev.family()
    assert len(family) >= 6  # itself, code servers, daemon, web server, webhook, run

    # when
    dev.interrupt()

    # then nothing is left, and the job waits: nobody cancelled it
    assert not [pid for pid in family if alive(pid)]
    row = dev.job(job.id)
    assert (row.status, row.attempt) == (JobStatus.QUEUED, 1)

    # and the next start takes it up
    gate.open()
    dev.start()
    until(lambda: dev.job(job.id).status is JobStatus.COMPLETED, 60, "the job's end")
    assert indexed(dev.folder.project, "stopped") == ROWS
