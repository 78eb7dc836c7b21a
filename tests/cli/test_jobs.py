"""`semilayer jobs`, which only looks."""

from __future__ import annotations

import sqlite3

import pytest

from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry import jobs
from tests.cli.project import Folder


def test_jobs_lists_and_a_few_characters_tell_ones_story(indexed: Folder) -> None:
    (job,) = indexed.json("jobs")
    assert (job["mode"], job["status"], job["counts"]["written"]) == ("full", "completed", 300)

    listed = indexed.run("jobs").stdout
    story = indexed.run("jobs", job["id"][:6]).stdout

    assert job["id"][:8] in listed
    assert job["id"] in story
    assert "300 written" in story
    assert "the last pages" in story
    told = indexed.json("jobs", job["id"][:6])
    assert job.items() <= told.items()
    assert sum(page["rows"] for page in told["pages"]) == 300
    assert told["seconds"] > 0


def test_the_jobs_of_a_lens_show_how_fast_each_was(indexed: Folder) -> None:
    (job,) = indexed.json("jobs", "--lens", "items")

    assert job["rowsPerSecond"] == pytest.approx(300 / job["seconds"], rel=0.01)
    assert "rows/s" in indexed.run("jobs", "--lens", "items").stdout
    unknown = indexed.run("jobs", "--lens", "itmes")
    assert (unknown.exit_code, "did you mean 'items'?" in unknown.stderr) == (2, True)


@pytest.mark.parametrize("command", ["jobs", "failed"])
def test_fewer_than_one_line_cannot_be_asked_for(indexed: Folder, command: str) -> None:
    for limit in ("0", "-1"):
        told = indexed.run(command, "--limit", limit)
        assert told.exit_code == 2
        assert "--limit" in told.output


def test_a_job_links_to_its_run_and_names_the_rows_it_set_aside(folder: Folder) -> None:
    with sqlite3.connect(folder.database) as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 4")
    folder.environ["SEMILAYER_DAGSTER_URL"] = "http://dagster.test:3000"
    folder.run("push", "--resume-ingest")
    project = folder.project
    with project.registry.read() as db:
        (job,) = jobs.due(db, project.clock())
    run_job(project, job.id, run_id="1234-abcd")

    told = folder.json("jobs", job.id)

    assert told["url"] == "http://dagster.test:3000/runs/1234-abcd"
    assert [row["id"] for row in told["failed"]] == ["4"]
    story = folder.run("jobs", job.id).stdout
    assert "http://dagster.test:3000/runs/1234-abcd" in story
    assert "semilayer failed --lens items" in story
