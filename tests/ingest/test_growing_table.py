"""A table that grows at its end faster than it is read is walked to the end that it had."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.ingest.lens_watch import PAUSE_CHECK_SECONDS
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import RunEnd
from semilayer_pipelines.queries.audit import audit
from semilayer_pipelines.queries.closer_look import Telling
from semilayer_pipelines.queries.findings import Kind
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.lab import ENV, Lab

ROWS = 600
MORE = 3_000
"""Rows that come with each page: more than a page has."""


class Growing:
    """Adds rows at the end of the table whenever a page is done."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.last = ROWS
        self.times = 0

    def __call__(self, _: object) -> None:
        self.times += 1
        assert self.times < 20, "the walk does not end"
        with self.lab.source() as db:
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                "INSERT INTO items SELECT i, 'late', 'late', 1, 'books', '2024-06-06' FROM n",
                (self.last + 1, self.last + MORE),
            )
        self.last += MORE


@pytest.mark.parametrize("shards", [1, 3])
def test_a_rebuild_ends_while_rows_come_faster_than_they_are_read(
    tmp_path: Path, shards: int
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=shards)

    outcome = lab.full(report=Growing(lab))

    # Every row that was there is indexed; what came since is found by the next walk.
    assert outcome.ended is RunEnd.COMPLETED
    assert set(map(str, range(1, ROWS + 1))) <= set(lab.indexed()[KEY])
    lab.sync()
    assert lab.audit().clean


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.REPAIR])
def test_what_was_deleted_leaves_the_index_though_rows_keep_coming(
    tmp_path: Path, mode: Mode
) -> None:
    lab = Lab.at(tmp_path, rows=ROWS, shards=2)
    lab.full()
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 450")

    job = lab.request(mode, shard=1 if mode is Mode.REPAIR else None)
    outcome = lab.run(job, report=Growing(lab))

    assert (outcome.ended, outcome.counts.deleted) == (RunEnd.COMPLETED, 1)
    assert "450" not in set(lab.indexed()[KEY])


def test_an_empty_table_that_begins_to_grow_ends_the_walk_as_well(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1)
    with lab.source() as db:
        db.execute("DELETE FROM items")

    assert lab.full(report=Growing(lab)).ended is RunEnd.COMPLETED

    lab.sync()
    assert lab.audit().clean


def test_rows_beyond_the_end_of_a_walk_that_others_wrote_meanwhile_stay(tmp_path: Path) -> None:
    # given a sync that meets rows which are new, and a caller who names them at once
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id = 7")
    grow, told = Growing(lab), list[str]()

    def grow_and_tell(page: PageDone) -> None:
        grow(page)
        if not told:
            told.extend((str(ROWS + 5), str(grow.last)))
            with lab.project.registry.begin() as db:
                named = [(key, Action.UPSERT) for key in told]
                changes.append(db, lab.lens.id, named, lab.project.clock())
            lab.run(lab.request(Mode.RECORDS))

    outcome = lab.sync(report=grow_and_tell)

    assert outcome.counts.deleted == 1
    assert set(told) <= set(lab.indexed()[KEY])


def test_a_paused_rebuild_goes_on_to_the_end_of_the_day_it_is_resumed(tmp_path: Path) -> None:
    # given a rebuild that is paused in the middle, and rows that come and go at the end meanwhile
    lab = Lab.at(tmp_path, rows=3 * ROWS)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    def pause(_: PageDone) -> None:
        lifecycle.pause(lab.project, ENV, "items")
        time.sleep(PAUSE_CHECK_SECONDS)

    assert lab.run(job, report=pause).ended is RunEnd.PAUSED
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id > 1700")
        db.execute(
            "INSERT INTO items SELECT id + 90000, name, description, price, category,"
            " updated_at FROM items WHERE id <= 50"
        )

    lifecycle.resume(lab.project, ENV, "items")
    assert lab.run(job).ended is RunEnd.COMPLETED

    assert lab.audit().clean


def test_verify_ends_and_takes_no_row_that_is_there_for_an_orphan(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    grow: Callable[[object], None] = Growing(lab)

    found = audit(lab.project, lab.lens, Telling(grow))

    assert found.rows == ROWS
    assert found.found[Kind.ORPHAN].count == 0
    assert found.in_line
