"""An index whose files came to harm: every command says so, and the cure that is named works."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.cli.conftest import run_queued
from tests.cli.project import Folder
from tests.damage import LOST, UNREADABLE, Harm

HARMS = UNREADABLE | LOST


@pytest.fixture
def served(tmp_path: Path) -> Folder:
    """A folder whose lens of 200 rows is indexed, to be spoilt."""
    folder = Folder.at(tmp_path, rows=200)
    folder.run("push", "--resume-ingest")
    run_queued(folder)
    return folder


def table_of(folder: Folder) -> Path:
    (table,) = (folder.path / ".semilayer").rglob("*.lance/_versions")
    return table.parent


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_a_search_is_an_error_with_a_cure_that_works(served: Folder, harm: Harm) -> None:
    # given
    harm(table_of(served))

    # when
    found = served.run("search", "items", "anything")
    verified = served.run("verify")

    # then both say it
    assert found.exit_code == 1
    assert "lens 'items'" in found.output
    assert "`semilayer verify --heal`" in found.output
    assert verified.exit_code == 3
    assert "items: OUT OF SYNC (200 rows, 0 indexed" in verified.stdout

    # and so do the others that would tell of a row, or of what a sync would do
    for asked in (("explain", "items", "7"), ("sync", "items", "--dry-run")):
        told = served.run(*asked)
        assert told.exit_code == 1, asked
        assert told.output.count("ebuild the lens") == 1, told.output

    # when the cure is taken
    healed = served.run("verify", "--heal")
    assert "items: full queued" in healed.stdout, healed.output
    run_queued(served)

    # then all is as it was
    assert served.run("verify").exit_code == 0
    assert len(served.json("search", "items", "anything", "--limit", "1000")) == 200


def test_a_lost_index_is_told_by_status_and_as_json(served: Folder) -> None:
    LOST["the folder of the table is gone"](table_of(served))

    (lens,) = served.json("status")["lenses"]
    told = json.loads(served.run("search", "items", "anything", "--json").stdout)
    (verified,) = json.loads(served.run("verify", "--json").stdout)["lenses"]

    assert lens["vectors"] == 0
    assert "is gone" in lens["error"]
    assert "semilayer verify --heal" in lens["cure"]
    assert told["error"]["kind"] == "IndexDamaged"
    assert told["error"]["exitCode"] == 1
    assert verified["inLine"] is False
    assert "is gone" in json.dumps(verified)
    assert "is gone" in served.run("status").output


def test_a_rebuild_takes_over_what_can_be_read_and_says_what_cannot(
    served: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    # given an index of two files, one of them damaged
    UNREADABLE["a data file is cut short"](table_of(served))

    # when
    served.run("push", "--rebuild", "--skip-confirmation-dangerously")
    with caplog.at_level(logging.WARNING):
        run_queued(served)

    # then
    assert "embedded again" in caplog.text
    assert served.run("verify").exit_code == 0


@pytest.mark.parametrize("command", [["incremental"], ["records"]], ids=str)
def test_a_few_rows_never_pass_for_a_lost_index(served: Folder, command: list[str]) -> None:
    # given
    LOST["all manifests are gone"](table_of(served))

    # when a job comes that would write a few rows only
    from uuid import uuid4

    from semilayer_pipelines.errors import IndexDamaged
    from semilayer_pipelines.ingest.run_job import run_job
    from semilayer_pipelines.registry import changes, jobs, lenses
    from semilayer_pipelines.registry.changes import Action
    from semilayer_pipelines.registry.jobs import Mode

    project = served.project
    with project.registry.begin() as db:
        lens = lenses.get(db, "development", "items")
        changes.append(db, lens.id, [("1", Action.UPSERT)], project.clock())
        job = jobs.request(
            db,
            lens,
            Mode(command[0]),
            job_id=uuid4().hex,
            origin="test",
            now=project.clock(),
        ).job
    with pytest.raises(IndexDamaged, match="is gone"):
        run_job(project, job.id)

    # then a search still says so
    assert served.run("search", "items", "anything").exit_code == 1
