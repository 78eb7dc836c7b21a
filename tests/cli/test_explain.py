"""`explain` and `failed`: what became of one row, and of those that were set aside."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from semilayer_pipelines.registry import changes, lenses
from semilayer_pipelines.registry.changes import Action
from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.workload import FIELDS

ENV = "development"


@pytest.fixture
def served(tmp_path: Path) -> Folder:
    folder = Folder.at(tmp_path, rows=20)
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    return folder


def execute(folder: Folder, *statements: str) -> None:
    with sqlite3.connect(folder.database) as db:
        for statement in statements:
            db.execute(statement)


def test_a_row_in_line_is_told_from_its_source_to_its_vector(served: Folder) -> None:
    told = served.json("explain", "items", "7")
    shown = served.run("explain", "items", "7").stdout
    (job,) = served.json("jobs")

    assert told["verdict"] == "It is indexed as it is in the source."
    assert told["row"]["id"] == 7
    assert told["mapped"]["text"] == f"{told['row']['name']}\n{told['row']['description']}"
    assert told["mapped"]["rowHash"] == told["indexed"]["rowHash"]
    assert told["mapped"]["textHash"] == told["indexed"]["textHash"]
    assert told["indexed"]["job"] == job["id"]
    assert told["embedding"]["similarity"] == pytest.approx(1, abs=1e-5)
    assert not told["embedding"]["cut"]
    assert told["pending"] == []
    assert told["failed"] is None
    assert told["mapped"]["text"].split("\n")[0] in shown
    assert f"by job {job['id'][:8]}" in shown


def test_the_keys_of_the_document_are_those_that_programs_read(served: Folder) -> None:
    # given a row that is indexed, set aside since, and named by a change that waits
    execute(served, "UPDATE items SET category = 'unknown' WHERE id = 4")
    served.run("sync", "--lens", "items")
    run_queued(served)
    project = served.project
    with project.registry.begin() as db:
        lens = lenses.get(db, ENV, "items")
        changes.append(db, lens.id, [("4", Action.UPSERT)], project.clock())

    whole = served.json("explain", "items", "7")
    failed = served.json("explain", "items", "4")

    assert list(whole) == [
        *("lens", "id", "key", "verdict", "row", "fault", "outside"),
        *("mapped", "chunks", "embedding", "indexed", "pending", "failed"),
    ]
    assert list(failed) == list(whole)
    assert list(whole["mapped"]) == ["fields", "text", "textless", "rowHash", "textHash"]
    assert list(whole["embedding"]) == ["tokens", "cut", "similarity", "error"]
    assert list(whole["indexed"]) == [
        *("fields", "rowHash", "textHash", "at", "shard", "generation", "job", "objects"),
        *("hidden", "unreachable", "crowded", "keywords"),
    ]
    assert (failed["mapped"], failed["embedding"]) == (None, None)
    assert [list(change) for change in failed["pending"]] == [["seq", "action"]]
    assert list(failed["failed"]) == [
        *("stage", "reason", "attempts", "firstAt", "lastAt", "job"),
    ]


def test_the_words_that_find_a_row_are_told(tmp_path: Path) -> None:
    folder = Folder.at(tmp_path, rows=5)
    fields = FIELDS | {"name": {"type": "text", "searchable": True, "keyword": "exact"}}
    folder.write(lenses={"items": {"fields": fields}})
    execute(folder, "UPDATE items SET name = 'ERR_1 ERR_1' WHERE id = 1")
    folder.run("push", "--resume-ingest")
    run_queued(folder)

    told = folder.json("explain", "items", "1")["indexed"]
    shown = folder.run("explain", "items", "1").stdout

    assert set(told["keywords"]) == {"=err=1=err=1", "err", "1", "err_1"}
    assert set(told["fields"]) == set(fields)
    assert "keywords     4: " in shown


def test_a_changed_a_deleted_and_a_new_row_are_told_apart(served: Folder) -> None:
    execute(
        served,
        "UPDATE items SET name = 'other' WHERE id = 1",
        "DELETE FROM items WHERE id = 2",
        "INSERT INTO items VALUES (99, 'new', 'row', 1, 'books', '2026-01-01')",
    )

    verdicts = [served.json("explain", "items", id)["verdict"] for id in ("1", "2", "99")]

    assert verdicts == [
        "It changed since it was indexed; the next sync brings it in.",
        "It is gone from the source; a smart sync deletes its vector.",
        "It is not indexed yet; the next sync adds it.",
    ]
    assert "indexed none" in served.run("explain", "items", "99").stdout


def test_a_change_that_waits_is_told(served: Folder) -> None:
    project = served.project
    with project.registry.begin() as db:
        lens = lenses.get(db, ENV, "items")
        changes.append(db, lens.id, [("3", Action.DELETE)], project.clock())

    told = served.json("explain", "items", "3")

    assert [one["action"] for one in told["pending"]] == ["delete"]
    assert told["verdict"] == "A change of it was accepted and waits to be applied."


def test_after_a_sync_the_job_that_wrote_it_is_named(served: Folder) -> None:
    execute(served, "UPDATE items SET name = 'other' WHERE id = 1")
    served.run("sync", "--lens", "items")
    run_queued(served)
    newest, oldest = served.json("jobs")

    assert served.json("explain", "items", "1")["indexed"]["job"] == newest["id"]
    assert served.json("explain", "items", "2")["indexed"]["job"] == oldest["id"]


def test_an_id_that_nobody_knows_is_an_error_with_the_reason(served: Folder) -> None:
    absent = served.run("explain", "items", "12345")
    malformed = served.run("explain", "items", "seven")

    assert (absent.exit_code, malformed.exit_code) == (2, 2)
    assert "There is no row '12345'" in absent.stderr
    assert "not an integer" in malformed.stderr


def test_a_row_that_cannot_be_mapped_is_listed_explained_and_tried_again(served: Folder) -> None:
    # given a row that was set aside by a sync
    execute(served, "UPDATE items SET category = '[bold]' WHERE id = 4")
    served.run("sync", "--lens", "items")
    run_queued(served)

    # then it is listed, and explained, with its reason
    (listed,) = served.json("failed")
    assert (listed["lens"], listed["total"]) == ("items", 1)
    assert listed["failed"][0]["id"] == "4"
    assert "[bold]" in served.run("failed").stdout
    told = served.json("explain", "items", "4")
    assert told["failed"]["reason"] in told["fault"] or "category" in told["fault"]
    assert told["verdict"] == "It cannot be mapped; the index keeps what it was before."

    # and nothing is called indexed of a row that never was
    execute(served, "INSERT INTO items (id, name, category) VALUES (99, 'new', '[bold]')")
    never = served.run("explain", "items", "99").stdout
    assert "It cannot be mapped, so it is not indexed." in never
    assert "row hash     none, indexed none" in never
    execute(served, "DELETE FROM items WHERE id = 99")

    # when it is mended and tried again
    execute(served, "UPDATE items SET category = 'books' WHERE id = 4")
    assert "1 set aside, tried again" in served.run("failed", "--retry").stdout
    run_queued(served)

    # then it is indexed and forgotten
    assert served.json("failed")[0]["total"] == 0
    assert served.json("explain", "items", "4")["indexed"]["fields"]["category"] == "books"
    assert "No row is set aside." in served.run("failed").stdout


def test_there_is_nothing_to_retry_where_nothing_failed(served: Folder) -> None:
    assert served.run("failed", "--retry").stdout.strip() == "No row is set aside."
    assert len(served.json("jobs")) == 1


def test_a_row_that_the_condition_leaves_out_is_shown_and_said_so(served: Folder) -> None:
    served.write(lenses={"items": {"where": "id <> 7"}})
    served.run("push")

    shown = served.run("explain", "items", "7").stdout

    assert "The lens leaves it out: its 'where' is not true for it; the next sync takes" in shown
    assert "source row\n  id" in shown
    assert served.json("explain", "items", "7")["outside"]
    assert not served.json("explain", "items", "8")["outside"]


def test_a_number_that_json_has_not_is_a_text_in_the_document(served: Folder) -> None:
    execute(served, "UPDATE items SET price = 9e999 WHERE id = 4")

    printed = served.run("explain", "items", "4", "--json").stdout

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    assert json.loads(printed, parse_constant=refuse)["row"]["price"] == "inf"
