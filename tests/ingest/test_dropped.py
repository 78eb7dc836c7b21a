"""An index is dropped while a run writes to it: it starts over, or says what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from semilayer_pipelines.errors import IndexDamaged, StoreFull
from semilayer_pipelines.ingest import gather, page_size, records
from semilayer_pipelines.ingest.progress import PageDone
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.chunks.protocol import RowStore
from tests.lab import ENV, Lab
from tests.workload import create_items

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


@dataclass(frozen=True)
class Full(Project):
    """A project whose store has no room for another index."""

    def store(self, env: str) -> RowStore:
        return cast(RowStore, _FullStore(super().store(env)))


class _FullStore:
    def __init__(self, inner: RowStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create(self, *_: object) -> None:
        raise StoreFull("There is no room.")


@pytest.fixture
def young(tmp_path: Path) -> Lab:
    """Give a lens whose table was empty when its first index was published, and has a row now."""
    create_items(tmp_path / "source.db", 0)
    lab = Lab.at(tmp_path)
    lab.full()
    grow(lab, 1)
    return lab


def grow(lab: Lab, *ids: int) -> None:
    """Add rows to the table, and tell of them."""
    with lab.source() as db:
        db.executemany(
            "INSERT INTO items VALUES (?, 'a name', 'a text', 1, 'tools', '2026-06-01')",
            [(id,) for id in ids],
        )
    with lab.project.registry.begin() as db:
        told = [(str(id), Action.UPSERT) for id in ids]
        changes.append(db, lab.lens.id, told, lab.project.clock())


@pytest.mark.parametrize("mode", [Mode.INCREMENTAL, Mode.RECORDS])
def test_a_lost_index_is_told_though_its_table_was_empty_at_the_beginning(
    young: Lab, mode: Mode
) -> None:
    # given an index that is lost
    young.run(young.request(mode))
    store = young.project.store(ENV)
    store.drop(young.index.name)

    # when a row comes
    grow(young, 2)
    with pytest.raises(IndexDamaged, match="gone from the store"):
        young.run(young.request(mode))

    # then it does not pass for all of them, and the next sync mends it
    assert store.names() == []
    young.sync()
    assert young.audit().clean


def test_an_index_that_could_not_be_made_is_no_lost_one(young: Lab) -> None:
    # given a store that had no room when the first row came
    job = young.request(Mode.RECORDS)
    project = young.project
    with pytest.raises(StoreFull):
        run_job(Full(project.settings, project.environ, project.clock), job.id)

    # when there is room again
    assert young.run(job).ended is RunEnd.COMPLETED

    # then
    assert young.audit().clean
