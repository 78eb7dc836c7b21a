"""Small changes of several pages of a sync are written together, at no loss of a promise."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import EmbeddingRejected
from semilayer_pipelines.ingest import lens_watch, page_size
from semilayer_pipelines.ingest.apply_page import Compared
from semilayer_pipelines.ingest.changed_rows import ChangedRows
from semilayer_pipelines.ingest.decision import Action as Write
from semilayer_pipelines.ingest.gather import GATHERED_ROWS, Gathered
from semilayer_pipelines.ingest.leaving import Leaving
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.stores.protocol import KEY
from tests.ingest.test_kill import give_up_on_the_dead
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.mortal import Died, Life, mortal

ROWS = 1_500
PAGES = 15


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Give an index of 15 pages, and three rows and a gone one on each that it does not have."""
    monkeypatch.setattr(page_size, "FIRST_PAGE_ROWS", 100)
    monkeypatch.setattr(page_size, "MAX_PAGE_ROWS", 100)
    lab = Lab.at(tmp_path, rows=ROWS)
    lab.full()
    scatter(lab)
    return lab


def scatter(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id WHERE id % 100 IN (1, 50)")
        db.execute("UPDATE items SET price = price + 1 WHERE id % 100 = 60")
        db.execute("DELETE FROM items WHERE id % 100 = 70")


def tell(lab: Lab, *keys: str) -> None:
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, [(k, Action.UPSERT) for k in keys], lab.project.clock())


def sync(lab: Lab, step: Callable[[str, Life], None]) -> Counts:
    project = mortal(lab.project, Life(step), page_rows=100)
    return run_job(project, lab.request(Mode.SMART_SYNC).id).counts


def test_changes_scattered_over_pages_are_embedded_once_and_written_once(lab: Lab) -> None:
    verbs: list[str] = []
    calls: list[Sequence[str]] = []
    reports: list[PageDone] = []
    meddled = Meddled.of(lab.project, calls.append, before=verbs.append)

    counts = run_job(meddled, lab.request(Mode.SMART_SYNC).id, report=reports.append).counts

    assert verbs.count("upsert") == 1
    assert [len(texts) for texts in calls if texts] == [2 * PAGES]
    assert (counts.read, counts.unchanged) == (ROWS - PAGES, ROWS - 4 * PAGES)
    assert (counts.embedded, counts.reused, counts.written) == (2 * PAGES, PAGES, 3 * PAGES)
    assert counts.deleted == PAGES
    assert sum((each.counts for each in reports), Counts()).written == 3 * PAGES
    assert lab.audit().clean


def test_many_small_changes_wait_for_one_another_once_the_first_were_written_fast(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given more than twice as many as are held before it is known how fast they are written
    with lab.source() as db:
        db.execute("UPDATE items SET price = price + 1")
    clock, began = time.monotonic, time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + (clock() - began) / 100)
    verbs: list[str] = []

    # when
    counts = run_job(
        Meddled.of(lab.project, before=verbs.append), lab.request(Mode.SMART_SYNC).id
    ).counts

    # then
    assert counts.written == ROWS - PAGES
    assert verbs.count("upsert") == 2
    assert lab.audit().clean


def test_a_page_that_changed_as_a_whole_is_written_while_small_changes_are_held(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'all ' || id WHERE id BETWEEN 701 AND 800")
    verbs: list[str] = []

    counts = run_job(
        Meddled.of(lab.project, before=verbs.append), lab.request(Mode.SMART_SYNC).id
    ).counts

    assert counts.written == 3 * (PAGES - 1) + 99
    assert verbs.count("upsert") <= 3
    assert lab.audit().clean


def test_pages_that_were_long_in_reading_do_not_part_the_changes_of_others(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a source that is slow to answer twice
    steps: list[str] = []
    clock, late = time.monotonic, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: clock() + late)

    def answer(what: str, _: Life) -> None:
        nonlocal late
        steps.append(what)
        if what == "source.read_page" and steps.count(what) in (1, 5):
            late += 10.0

    # when it is synced
    counts = sync(lab, answer)

    # then what is held is written after each of these, and all others together; the page that came
    # late is one more where it was being read while the one before was compared
    assert counts.written == 3 * PAGES
    assert steps.count("index.upsert") in (3, 4)


def test_a_row_that_changes_while_it_is_held_is_left_to_that_change_and_no_other_is(
    lab: Lab,
) -> None:
    # given a caller who changes a row that was read and one that was not, in the middle of the walk
    reads: list[str] = []

    def change(what: str, _: Life) -> None:
        reads.extend([what] if what == "source.read_page" else [])
        if what == "source.read_page" and len(reads) == 8:
            with lab.source() as db:
                db.execute("UPDATE items SET name = 'newer ' || id WHERE id IN (1, 1401)")
            tell(lab, "1", "1401")

    # when it is synced
    counts = sync(lab, change)

    # then what was read before the change is not written, and what was read after it is
    assert counts.written == 3 * PAGES - 1
    assert "new 1" not in str(lab.object_of("1")["name"])
    assert lab.object_of("1401")["name"] == "newer 1401"
    lab.run(lab.request(Mode.RECORDS))
    assert lab.audit().clean


def test_a_sync_that_dies_at_any_step_is_done_again_and_all_is_well(lab: Lab) -> None:
    deaths, at = 0, 0
    told = ("index.", "registry.", "embedder.", "source.")
    while True:
        at += 1 + at // 3
        steps = 0

        def die(what: str, life: Life, at: int = at) -> None:
            nonlocal steps
            steps += what.startswith(told)
            if steps == at:
                life.die()

        try:
            sync(lab, die)
        except Died:
            deaths += 1
            give_up_on_the_dead(lab)
            have = lab.indexed()[KEY]
            assert have.n_unique() == len(have) >= ROWS - 2 * PAGES
            lab.sync()
            assert lab.audit().clean, f"after {at} steps"
            with lab.source() as db:
                db.execute("UPDATE items SET name = 'old' WHERE id % 100 = 1")
            lab.sync()
            scatter(lab)
        else:
            break
    assert deaths >= 8
    assert lab.audit().clean


KILLED = """
import os, signal, sys
from pathlib import Path
from semilayer_pipelines.ingest import page_size
from semilayer_pipelines.ingest.run_job import run_job
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import ENV, Lab
from tests.mortal import mortal, Life

page_size.FIRST_PAGE_ROWS = page_size.MAX_PAGE_ROWS = 100
lab = Lab.opened(Path(sys.argv[1]), {})

def kill(what, life):
    if what == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

run_job(mortal(lab.project, Life(kill), page_rows=100), lab.request(Mode.SMART_SYNC).id)
"""


@pytest.mark.parametrize("step", ["index.upsert", "index.upsert.done"])
def test_a_process_killed_around_the_write_of_many_pages_loses_and_doubles_nothing(
    lab: Lab, step: str
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(lab.folder), step], check=False)
    assert done.returncode == -9

    have = lab.indexed()[KEY]
    assert have.n_unique() == len(have) == ROWS
    give_up_on_the_dead(lab)
    counts = lab.sync().counts

    # What was written before the kill is not written again, and nothing is embedded twice.
    assert counts.embedded == (2 * PAGES if step == "index.upsert" else 0)
    assert lab.audit().clean


def test_a_pause_writes_the_changes_that_are_held(lab: Lab) -> None:
    reads: list[str] = []

    def pause(what: str, _: Life) -> None:
        reads.extend([what] if what == "source.read_page" else [])
        if what == "source.read_page" and len(reads) == 8:
            lifecycle.pause(lab.project, ENV, "items")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lens_watch, "PAUSE_CHECK_SECONDS", 0.0)
        job = lab.request(Mode.SMART_SYNC)
        outcome = run_job(mortal(lab.project, Life(pause), page_rows=100), job.id)

    assert outcome.ended is RunEnd.PAUSED
    assert 3 * 7 <= outcome.counts.written <= 3 * 8
    lifecycle.resume(lab.project, ENV, "items")
    assert lab.run(job).counts.written == 3 * PAGES - outcome.counts.written
    assert lab.audit().clean


def test_one_poison_row_a_page_costs_these_rows_and_fails_no_job(lab: Lab) -> None:
    # given so many that they would fail the job, were they of one page
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'poison' WHERE id % 100 IN (1, 2)")

    def reject(texts: Sequence[str]) -> None:
        if any("poison" in text for text in texts):
            raise EmbeddingRejected("The text cannot be embedded.")

    meddled = Meddled.of(lab.project, reject)

    counts = run_job(meddled, lab.request(Mode.SMART_SYNC).id).counts

    assert (counts.written, counts.failed) == (2 * PAGES, 2 * PAGES)
    with lab.project.registry.read() as registry:
        assert failed_rows.count(registry, lab.lens.id) == 2 * PAGES

    # when half of them are mended and the others are as they were indexed, then none is listed
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'fine' WHERE id % 100 = 1")
        db.execute("UPDATE items SET name = 'fine too' WHERE id % 100 = 2")
    lab.sync()
    with lab.project.registry.read() as registry:
        assert failed_rows.count(registry, lab.lens.id) == 0
    assert lab.audit().clean


def a_page(keys: Sequence[str], *, text: str = "", started: float | None = None) -> Compared:
    rows = pl.DataFrame({KEY: list(keys), "text": [text] * len(keys)})
    none = rows.clear()
    changed = ChangedRows.read_at(
        7,
        rows,
        pl.Series([Write.REPLACE] * len(keys), dtype=pl.Enum(Write)),
        pl.Series([True] * len(keys), dtype=pl.Boolean),
        shard=0,
    )
    began = time.monotonic() if started is None else started
    page = Page(rows, 0, 7, began)
    return Compared(page, Mapped(rows, none, none), changed, Leaving(), Counts(read=len(keys)))


def test_no_more_is_held_than_can_be_written_in_some_seconds() -> None:
    gathered = Gathered()
    assert gathered.holds(a_page(["1", "2", "3"]))

    gathered.took(10, seconds=25.0)
    assert not gathered.holds(a_page(["1", "2", "3"]))
    assert gathered.holds(a_page(["1"]))

    gathered.took(100, seconds=0.001)
    assert gathered.holds(a_page([str(n) for n in range(GATHERED_ROWS - 1)]))
    assert not gathered.holds(a_page([str(n) for n in range(GATHERED_ROWS)]))


@pytest.mark.parametrize(
    "page",
    [
        a_page(["1"], text="x" * 20 * 2**20),
        a_page(["1"], started=time.monotonic() - 10),
        a_page([], started=time.monotonic() - 10),
    ],
    ids=["heavy", "read long ago", "unchanged, read long ago"],
)
def test_what_is_heavy_or_was_read_a_while_ago_is_not_held_on(page: Compared) -> None:
    gathered = Gathered()
    gathered.hold(a_page(["2"]), 0.1)
    assert not gathered.full

    gathered = Gathered()
    gathered.hold(page, 0.1)

    assert gathered.full
    [taken] = gathered.taken()
    assert taken.counts.read == len(page.changed)
    assert not gathered.full
    assert not [*gathered.taken()]


def test_of_a_key_on_two_pages_the_row_read_last_is_written() -> None:
    gathered = Gathered()
    gathered.hold(a_page(["1", "2"], text="first"), 0.1)
    gathered.hold(a_page(["2", "3"], text="second"), 0.1)

    [taken] = gathered.taken()

    assert taken.changed.rows.select(KEY, "text").rows() == [
        ("1", "first"),
        ("2", "second"),
        ("3", "second"),
    ]
