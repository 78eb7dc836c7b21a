"""Rows that the source cannot read are set aside in every way of ingest, and never deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.ingest.run_job import RunEnd
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from tests.bridges.test_conformance_refused import broken
from tests.lab import ENV, Lab
from tests.sources import SourceDatabase

ROWS = 30


@pytest.fixture
def lab(source: SourceDatabase, tmp_path: Path) -> Lab:
    """A lens over a view whose `v` fails where the table has 'bad'; every row is fine."""
    text = source.type("text")
    source.run(
        f"CREATE TABLE raw (id INTEGER PRIMARY KEY, v {text}, name {text}, at INTEGER)",
        f"CREATE VIEW shaped AS SELECT id, name, at, CASE WHEN v = 'bad' THEN "
        f"{broken(source)} ELSE v END AS v FROM raw",
    )
    source.insert("raw", [(n, f"v{n}", f"row {n}", n) for n in range(ROWS)])
    folder = tmp_path / "project"
    folder.mkdir()
    made = Lab.opened(folder, {})
    made.connection = source.url
    made.push(
        table="shaped",
        primaryKey="id",
        changeTrackingColumn="at",
        fields={"name": {"type": "text", "searchable": True}, "v": {"type": "text"}},
    )
    return made


def set_aside(lab: Lab) -> dict[str, tuple[str, str]]:
    with lab.project.registry.read() as db:
        rows = failed_rows.list_all(db, lab.lens.id, limit=100)
    return {row.key: (row.stage, row.reason) for row in rows}


def test_a_first_ingest_takes_the_others_and_names_the_row(
    source: SourceDatabase, lab: Lab
) -> None:
    source.run("UPDATE raw SET v = 'bad' WHERE id = 15")

    done = lab.full()

    assert done.ended is RunEnd.COMPLETED
    assert (done.counts.read, done.counts.failed, done.counts.written) == (ROWS, 1, ROWS - 1)
    assert set_aside(lab).keys() == {"15"}
    stage, reason = set_aside(lab)["15"]
    assert stage == "reading"
    assert reason.startswith("the source cannot read it: ")


def test_a_sync_keeps_the_vector_of_such_a_row_and_brings_the_others_in(
    source: SourceDatabase, lab: Lab
) -> None:
    lab.full()
    source.run(
        "UPDATE raw SET v = 'bad' WHERE id = 15",
        "UPDATE raw SET name = 'changed' WHERE id = 3",
        "DELETE FROM raw WHERE id = 4",
    )

    done = lab.sync()

    assert (done.counts.failed, done.counts.written, done.counts.deleted) == (1, 1, 1)
    assert lab.index.get("15") is not None
    assert (lab.index.get("3") or {})["name"] == "changed"
    found = audit(lab.project, lab.lens)
    assert found.in_line
    assert found.found[Kind.SET_ASIDE].ids == ("15",)
    assert (found.rows, found.objects) == (ROWS - 1, ROWS - 1)

    source.run("UPDATE raw SET v = 'mended' WHERE id = 15")
    lab.sync()
    assert (lab.index.get("15") or {})["v"] == "mended"
    assert set_aside(lab) == {}


def test_incremental_goes_past_such_a_row(source: SourceDatabase, lab: Lab) -> None:
    lab.full()
    source.run(
        "UPDATE raw SET v = 'bad', at = 100 WHERE id = 15",
        "UPDATE raw SET name = 'changed', at = 101 WHERE id = 3",
    )

    done = lab.run(lab.request(Mode.INCREMENTAL))

    assert done.ended is RunEnd.COMPLETED
    assert done.counts.failed == 1
    assert (lab.index.get("3") or {})["name"] == "changed"
    assert lab.index.get("15") is not None
    assert set_aside(lab).keys() == {"15"}


def test_a_named_row_that_cannot_be_read_is_no_deleted_row(
    source: SourceDatabase, lab: Lab
) -> None:
    lab.full()
    source.run(
        "UPDATE raw SET v = 'bad' WHERE id IN (15, 16)",
        "UPDATE raw SET name = 'changed' WHERE id = 3",
        "DELETE FROM raw WHERE id = 4",
    )
    with lab.project.registry.begin() as db:
        named = [(key, Action.UPSERT) for key in ("3", "15", "16")]
        changes.append(db, lab.lens.id, [*named, ("4", Action.DELETE)], lab.project.clock())

    done = lab.run(lab.request(Mode.RECORDS))

    assert (done.counts.failed, done.counts.deleted, done.counts.written) == (2, 1, 1)
    assert lab.index.get("15") is not None
    assert lab.index.get("4") is None
    assert set_aside(lab).keys() == {"15", "16"}
    with lab.project.registry.read() as db:
        assert changes.buffered(db, lab.lens.id) == 0


def test_explain_says_that_the_source_cannot_read_the_row(source: SourceDatabase, lab: Lab) -> None:
    lab.full()
    source.run("UPDATE raw SET v = 'bad' WHERE id = 15")

    told = explain(lab.project, ENV, lab.name, "15")

    assert told.fault is not None
    assert "cannot read it" in told.fault
