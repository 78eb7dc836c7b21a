"""Which ticks have nothing to read in a SQLite file that nobody writes to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from semilayer_pipelines.orchestration.schedules import make_due_jobs
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import Lab
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
