"""An index is dropped while a run writes to it: it starts over, or says what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.errors import IndexDamaged
from semilayer_pipelines.ingest import gather, page_size, records
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import LensStatus
from tests.lab import ENV, Lab

ROWS, PAGE_ROWS = 250, 50  # several pages


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAGE_ROWS", "MIN_PAGE_ROWS", "MAX_PAGE_ROWS"):
        monkeypatch.setattr(page_size, name, PAGE_ROWS)
    monkeypatch.setattr(gather, "FIRST_PAGE_ROWS", PAGE_ROWS)
    monkeypatch.setattr(records, "CLAIM_ROWS", PAGE_ROWS)


@pytest.fixture(params=["lancedb", "weaviate"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    environ = {} if request.param == "lancedb" else request.getfixturevalue("environ")
    lab = Lab.at(tmp_path, rows=ROWS, environ=environ)
    yield lab
    for name in lab.project.store(ENV).names():
        lab.project.store(ENV).drop(name)


class Dropper:
    """Drops the newest index after a page, once."""

    def __init__(self, lab: Lab, *, after: int = 1) -> None:
        self.lab = lab
        self.pages_left = after

    def __call__(self, _: PageDone) -> None:
        self.pages_left -= 1
        if self.pages_left == 0:
            store = self.lab.project.store(ENV)
            store.drop(store.names()[-1])

    @property
    def has_dropped(self) -> bool:
        return self.pages_left <= 0


def change_rows(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'moved ' || id, updated_at = '2026-06-01 00:00:00'")


def announce_rows(lab: Lab) -> None:
    told = [(str(number), Action.UPSERT) for number in range(1, ROWS + 1)]
    with lab.project.registry.begin() as db:
        changes.append(db, lab.lens.id, told, lab.project.clock())


@pytest.mark.parametrize("after", [1, 2])
def test_a_full_ingest_begins_again_within_the_run(lab: Lab, after: int) -> None:
    dropper = Dropper(lab, after=after)

    lab.full(report=dropper)

    assert dropper.has_dropped
    assert lab.audit().clean
    assert lab.index.count() == ROWS
    assert (lab.lens.status, lab.lens.error) == (LensStatus.READY, None)


def test_a_rebuild_whose_old_index_is_dropped_goes_on(lab: Lab) -> None:
    lab.full()
    store = lab.project.store(ENV)
    (old,) = store.names()

    lab.full(report=lambda _: store.drop(old))

    assert lab.audit().clean
    assert lab.lens.status is LensStatus.READY


def test_a_smart_sync_builds_the_index_again_within_the_run(lab: Lab) -> None:
    lab.full()
    change_rows(lab)
    dropper = Dropper(lab)

    lab.sync(report=dropper)

    assert dropper.has_dropped
    assert lab.audit().clean
    assert (lab.lens.status, lab.lens.error) == (LensStatus.READY, None)


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.RECORDS])
def test_a_run_of_some_rows_says_what_comes_next_and_the_next_sync_mends_it(
    lab: Lab, mode: Mode
) -> None:
    # given a run that knows of some rows only, of which an index cannot be made
    lab.full()
    change_rows(lab)
    if mode is Mode.RECORDS:
        announce_rows(lab)
    job = lab.request(mode)

    # when its index is dropped
    with pytest.raises(IndexDamaged, match="gone from the store") as told:
        lab.run(job, report=Dropper(lab))

    # then it says so in words, and no row is lost or made up
    assert "`semilayer verify --heal`" in told.value.cure
    assert lab.lens.status is LensStatus.ERROR
    assert lab.project.store(ENV).names() == []

    # when the next sync has built it again, what failed is due at once
    lab.sync()
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        (due,) = jobs.due(db, lab.project.clock())
    assert due.id == job.id
    lab.run(due)

    # then nothing of it is left
    assert lab.audit().clean
    assert (lab.lens.status, lab.lens.error) == (LensStatus.READY, None)
