"""Which ticks have nothing to read in a SQLite file that nobody writes to."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest.lens_watch import PAUSE_CHECK_SECONDS
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.orchestration.schedules import make_due_jobs
from semilayer_pipelines.queries.state import read_lens
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import ENV, Lab
from tests.meddling import Meddled

HOUR = timedelta(hours=1)
PASSED_OVER = (
    "Nothing queued. Skipped: test/items (nothing was written to its source since the last one)."
)
QUEUED = "Queued: test/items."


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab.at(tmp_path, rows=20, syncInterval="5m", smartSyncInterval="24h")


def let_pass(lab: Lab, span: timedelta) -> None:
    lab.project = Meddled.of(lab.project, later=span)


def indexed_an_hour_later(lab: Lab, **lens: object) -> None:
    """Index a table, and bring it in sync, an hour after it was written to."""
    lab.push(syncInterval="5m", smartSyncInterval="24h", **lens)
    let_pass(lab, HOUR)
    lab.full()
    lab.run(lab.request(Mode.SMART_SYNC))


def due(lab: Lab) -> list[str]:
    """Return what the ticks of both intervals do."""
    cadences = ((Mode.INCREMENTAL, "5m"), (Mode.SMART_SYNC, "24h"))
    return [make_due_jobs(lab.project, *one).told for one in cadences]


@pytest.mark.parametrize(
    "lens",
    [
        {"where": "updated_at <= datetime('now')"},
        {"table": "shown", "primaryKey": "id", "changeTrackingColumn": "updated_at"},
    ],
    ids=["condition", "view"],
)
def test_rows_that_come_with_the_time_are_looked_for_though_nobody_writes(
    lab: Lab, lens: dict[str, object]
) -> None:
    with lab.source() as db:
        db.execute("CREATE VIEW shown AS SELECT * FROM items WHERE updated_at <= datetime('now')")

    indexed_an_hour_later(lab, **lens)

    # Incremental sees what is written, and nothing was.
    assert due(lab) == [PASSED_OVER, QUEUED]


def test_an_index_of_a_quiet_file_is_compared_now_and_then(lab: Lab) -> None:
    indexed_an_hour_later(lab, fullWalkEvery="7d")
    let_pass(lab, timedelta(days=6))
    assert due(lab) == [PASSED_OVER, PASSED_OVER]

    let_pass(lab, timedelta(days=2))

    assert due(lab) == [PASSED_OVER, QUEUED]


def test_what_was_written_while_a_rebuild_was_paused_is_walked(lab: Lab) -> None:
    # given a rebuild that is paused after its first page
    create_more(lab)
    let_pass(lab, HOUR)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    def pause(_: Sequence[str]) -> None:
        lifecycle.pause(lab.project, ENV, "items")
        time.sleep(PAUSE_CHECK_SECONDS)

    assert run_job(Meddled.of(lab.project, pause), job.id).ended is RunEnd.PAUSED

    # when a row of that page is written to an hour later, and the rebuild goes on after another
    let_pass(lab, HOUR)
    changed_at = lab.project.clock()
    with lab.source() as db:
        db.execute(
            "UPDATE items SET name = 'moved', updated_at = ? WHERE id = 1",
            [f"{changed_at:%Y-%m-%d %H:%M:%S}"],
        )
    for file in lab.folder.glob("source.db*"):
        os.utime(file, (changed_at.timestamp(),) * 2)
    let_pass(lab, HOUR)
    lifecycle.resume(lab.project, ENV, "items")
    assert lab.run(job).ended is RunEnd.COMPLETED

    # then nobody takes the index for one of that hour, and the next walk finds the row
    as_of = read_lens(lab.project, "items", env=ENV).as_of
    assert as_of is not None
    assert as_of < changed_at
    assert due(lab) == [QUEUED, QUEUED]
    lab.run(lab.request(Mode.INCREMENTAL))
    assert lab.audit().clean


def create_more(lab: Lab) -> None:
    """Let the table have several pages."""
    with lab.source() as db:
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)"
            " INSERT INTO items SELECT i, 'more ' || i, description, price, category, updated_at"
            " FROM n, items WHERE items.id = 1"
        )
