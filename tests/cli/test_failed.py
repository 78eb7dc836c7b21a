"""`failed`: what was set aside, and whether a search still finds what it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import run_queued
from tests.cli.project import Folder


@pytest.fixture
def served(tmp_path: Path) -> Folder:
    """A folder with two rows set aside: one was indexed before, the other never was."""
    folder = Folder.at(tmp_path, rows=20)
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    with sqlite3.connect(folder.database) as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 4")
        db.execute("INSERT INTO items VALUES (900, 'new', 'row', 1, 'unknown', '2026-01-01')")
    folder.run("sync", "items")
    run_queued(folder)
    return folder


def test_a_row_that_was_indexed_before_tells_how_old_that_is(served: Folder) -> None:
    (told,) = served.json("failed")

    rows = {row["id"]: row for row in told["failed"]}
    assert (rows["900"]["hasVector"], rows["900"]["indexedAt"]) == (False, None)
    assert rows["4"]["hasVector"]
    assert rows["4"]["indexedAt"].endswith("Z")
    assert rows["4"]["indexedAt"] < rows["4"]["firstAt"]
    shown = served.run("failed").stdout
    assert "old vector" in shown
    assert "none" in shown


def test_an_index_that_cannot_be_asked_keeps_nobody_from_the_list(served: Folder) -> None:
    (table,) = (served.path / ".semilayer" / "lance").glob("*/*.lance")
    for manifest in (table / "_versions").iterdir():
        manifest.write_bytes(b"")

    (told,) = served.json("failed")

    assert told["total"] == 2
    assert {row["hasVector"] for row in told["failed"]} == {None}
    assert "not known" in served.run("failed").stdout


def test_a_lens_that_removes_has_none_to_tell_of(served: Folder) -> None:
    served.write(lenses={"items": {"onFailure": "remove"}})
    pushed = served.run("push")
    assert "semilayer sync --lens items" in pushed.stdout
    served.run("sync", "items")
    run_queued(served)

    (told,) = served.json("failed")

    assert {row["hasVector"] for row in told["failed"]} == {False}
