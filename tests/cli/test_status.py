"""`semilayer status`, which only looks."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.errors import SchemaMismatch
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry import changes, jobs, lenses
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.heartbeats import DAEMON, Heart
from semilayer_pipelines.registry.lenses import LensStatus
from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.patience import PATIENCE_SECONDS


def test_status_shows_every_lens_and_the_queue(indexed: Folder) -> None:
    told = indexed.run("status").stdout

    line = next(line for line in told.splitlines() if line.startswith("items"))
    assert line.split()[1:3] == ["ready", "300"]
    assert "Queue: 0 active, 0 pending, 0 failed, 1 completed (24h)" in told


def test_status_as_json_has_the_numbers(indexed: Folder) -> None:
    told = indexed.json("status")

    (lens,) = told["lenses"]
    assert (lens["name"], lens["status"], lens["vectors"]) == ("items", "ready", 300)
    assert told["queue"] == {"active": 0, "pending": 0, "failed": 0, "completed24h": 1}


LENS_KEYS = [
    "name",
    "status",
    "rows",
    "vectors",
    "generation",
    "embeddedBy",
    "failed",
    "textless",
    "buffered",
    "awaited",
    "lagSeconds",
    "asOf",
    "behindSeconds",
    "progress",
    "rowsPerSecond",
    "cursor",
    "needs",
    "next",
    "advice",
    "error",
    "cure",
    "failingSince",
    "needsYou",
    "triedAgainAt",
    "outlook",
]


def test_the_keys_of_the_document_are_those_that_programs_read(indexed: Folder) -> None:
    every = indexed.json("status")
    one = indexed.json("status", "--lens", "items")

    assert list(every) == list(one) == ["env", "lenses", "queue", "daemon", "feeds"]
    assert list(every["queue"]) == ["active", "pending", "failed", "completed24h"]
    assert list(every["lenses"][0]) == LENS_KEYS
    assert list(one["lenses"][0]) == [*LENS_KEYS, "source", "hidden"]
    source = one["lenses"][0]["source"]
    assert list(source) == ["column", "latest", "cursor", "seconds", "untracked", "error"]


def test_the_values_of_the_document_are_what_the_registry_and_the_index_say(
    indexed: Folder,
) -> None:
    (lens,) = indexed.json("status")["lenses"]

    assert {
        key: lens[key] for key in LENS_KEYS if key not in ("asOf", "behindSeconds", "cursor")
    } == {
        "name": "items",
        "status": "ready",
        "rows": 300,
        "vectors": 300,
        "generation": 1,
        "embeddedBy": [],
        "failed": 0,
        "textless": 0,
        "buffered": 0,
        "awaited": 0,
        "lagSeconds": 0.0,
        "progress": None,
        "rowsPerSecond": 0.0,
        "needs": "nothing",
        "next": "",
        "advice": None,
        "error": None,
        "cure": None,
        "failingSince": None,
        "needsYou": False,
        "triedAgainAt": None,
        "outlook": None,
    }


def test_a_lens_without_a_column_to_follow_has_no_source_to_be_behind(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=3)
    with sqlite3.connect(folder.database) as db:
        db.execute("ALTER TABLE items RENAME COLUMN updated_at TO touched")
    folder.write(lenses={"items": {"fields": {"name": {"type": "text", "searchable": True}}}})
    folder.run("push")

    (lens,) = folder.json("status", "--lens", "items")["lenses"]

    assert list(lens) == [*LENS_KEYS, "source", "hidden"]
    assert lens["source"] is None
    assert (lens["generation"], lens["asOf"], lens["behindSeconds"]) == (None, None, None)
    assert lens["embeddedBy"] == []
    assert lens["next"] == "semilayer resume --lens items"


def test_nothing_is_folded_where_nobody_looks_at_a_terminal(tmp_path: Path) -> None:
    name = "a_lens_with_a_rather_long_name_such_as_people_give"
    folder = Folder.at(tmp_path, rows=3)
    folder.write(lenses={name: {}})
    folder.run("push")

    told = folder.run("status").stdout

    assert f"semilayer resume --lens {name}" in told


def test_an_empty_project_says_what_comes_first(folder: Folder) -> None:
    assert "semilayer push" in folder.run("status").stdout
    folder.run("push")
    assert "semilayer resume" in folder.run("jobs").stdout


def test_status_of_one_lens_asks_its_source_how_far_it_is_ahead(folder: Folder) -> None:
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    with sqlite3.connect(folder.database) as db:
        (latest,) = db.execute("SELECT max(updated_at) FROM items").fetchone()
        db.execute("UPDATE items SET updated_at = datetime(?, '+90 seconds')", [latest])

    source = folder.json("status", "--lens", "items")["lenses"][0]["source"]

    assert (source["column"], source["cursor"], source["seconds"]) == ("updated_at", latest, 90)
    assert "90 s behind" in folder.run("status", "--lens", "items").stdout

    # and a source that is away is told, and is no reason to tell nothing
    folder.database.unlink()
    done = folder.run("status", "--lens", "items")
    assert done.exit_code == 0
    assert "no SQLite file" in done.stdout
    assert "ready" in done.stdout


def test_status_tells_since_when_the_index_may_be_behind(indexed: Folder) -> None:
    (lens,) = indexed.json("status")["lenses"]
    (job,) = indexed.json("jobs")

    # A full ingest begins with its index, which comes moments after its run.
    assert job["startedAt"] <= lens["asOf"] <= job["endedAt"]
    assert 0 <= lens["behindSeconds"] < 600
    with sqlite3.connect(indexed.database) as db:
        assert [lens["cursor"]] == list(*db.execute("SELECT max(updated_at) FROM items"))


def test_status_of_one_lens_tells_what_waits_how_fast_it_is_and_the_last_tick(
    folder: Folder,
) -> None:
    # given changes that nobody has applied, and no daemon yet
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    project = folder.project
    named = [("1", Action.UPSERT), ("2", Action.DELETE)]
    with project.registry.begin() as db:
        changes.append(db, lenses.get(db, "development", "items").id, named, project.clock())
    waiting = "changes pending: 2, rows/s: 0, last tick of the daemon: "
    assert f"{waiting}never" in folder.run("status", "items").stdout

    # when it has ticked
    Heart(DAEMON).beat(project.registry, project.clock() - timedelta(seconds=600))

    # then each of the three is told, and of all lenses together none is
    assert f"{waiting}10 min ago" in folder.run("status", "items").stdout
    assert "changes pending" not in folder.run("status").stdout


def test_status_tells_how_fast_a_running_job_is(folder: Folder) -> None:
    # given a walk of twenty rows that is asked about at its first page
    folder.run("push", "--resume-ingest")
    project = folder.project
    with project.registry.read() as db:
        (job,) = jobs.due(db, project.clock())
    seen: list[dict[str, Any]] = []

    run_job(project, job.id, report=lambda _: seen.append(folder.json("status")["lenses"][0]))

    assert seen[0]["status"] == "indexing"
    assert seen[0]["rowsPerSecond"] > 0
    assert seen[0]["progress"].startswith("full: 20 of 20 rows at ")


def test_an_error_is_told_whole_however_long_it_is(folder: Folder) -> None:
    folder.run("push", "--resume-ingest")
    project = folder.project
    message = "The source said no: " + "and again " * 60
    with project.registry.begin() as db:
        lens = lenses.get(db, "development", "items")
        now = project.clock()
        lenses.set_status(
            db, lens.id, LensStatus.ERROR, error=message, cure="Ask [it] why.", now=now
        )

    assert f"items: {message} Ask [it] why." in folder.run("status").stdout


def test_status_says_whether_a_failure_is_tried_again_or_needs_a_person(folder: Folder) -> None:
    folder.run("push", "--resume-ingest")
    run_queued(folder)

    # given a table that is away for a moment
    with sqlite3.connect(folder.database) as db:
        db.execute("ALTER TABLE items RENAME TO goods")
    folder.run("sync", "--lens", "items")
    with pytest.raises(SchemaMismatch):
        run_queued(folder)

    # then a person has nothing to do, and reads so
    told = folder.json("status")["lenses"][0]
    assert (told["status"], told["needsYou"]) == ("error", False)
    assert told["next"].startswith("tried again in ")
    assert told["failingSince"] < told["triedAgainAt"]
    shown = folder.run("status").stdout
    assert "failing since" in shown
    assert shown.count("tried again in ") == 1

    # and one who is needed reads what to do
    with folder.project.registry.begin() as db:
        lens = lenses.get(db, "development", "items")
        now = folder.project.clock()
        lenses.set_failing(db, lens.id, error="No.", cure="Do it.", needs_you=True, now=now)
    told = folder.json("status")["lenses"][0]
    assert told["needsYou"]
    assert told["outlook"].startswith("needs you")


def test_watching_shows_it_again_and_again_until_ctrl_c(folder: Folder) -> None:
    folder.run("push")
    watching = folder.start("status", "--watch", "--json")
    try:
        assert watching.stdout is not None
        documents = [json.loads(watching.stdout.readline()) for _ in range(2)]
        os.kill(watching.pid, signal.SIGINT)
        assert watching.wait(PATIENCE_SECONDS) == 0
    finally:
        watching.kill()
        watching.wait()
    assert [document["lenses"][0]["name"] for document in documents] == ["items", "items"]
