"""A full ingest fills the next generation and switches to it in one step."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from semilayer_pipelines.control import lifecycle
from semilayer_pipelines.errors import GuardStopped, TooManyFailures
from semilayer_pipelines.ingest.lens_watch import PAUSE_CHECK_SECONDS
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import changes, generations, shards
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.protocol import KEY
from tests.lab import ENV, Lab
from tests.meddling import Meddled
from tests.workload import FIELDS


@pytest.mark.parametrize("rows", [0, 1, 3, 500])
@pytest.mark.parametrize("parts", [1, 4])
def test_every_row_is_indexed_whatever_the_number_of_rows_and_shards(
    tmp_path: Path, rows: int, parts: int
) -> None:
    lab = Lab.at(tmp_path, rows=max(rows, 1), shards=parts)
    if not rows:
        with lab.source() as db:
            db.execute("DELETE FROM items")

    outcome = lab.full()

    assert outcome.ended is RunEnd.COMPLETED
    assert lab.lens.status is LensStatus.READY
    assert outcome.counts.written == rows
    if rows:
        assert lab.audit().clean


def test_shards_filled_by_separate_runs_are_published_by_the_last(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=400, shards=4)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    ended = [lab.run(job, shard=number).ended for number in (2, 0, 3, 1)]

    assert ended == [RunEnd.SHARE_DONE] * 3 + [RunEnd.COMPLETED]
    assert lab.audit().clean
    assert [sum(f.height for f in lab.index.scan(shard=n)) for n in range(4)] == [100] * 4


def test_searches_see_the_whole_old_index_until_the_switch(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1_500)
    lab.full()
    before = lab.index.name
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")
    seen: list[tuple[str, int]] = []

    lab.full(report=lambda _: seen.append((lab.index.name, lab.index.count())))

    assert len(seen) > 1
    assert set(seen) == {(before, 1_500)}
    assert lab.index.name != before
    assert lab.audit().clean


def test_a_rebuild_takes_over_the_vectors_of_equal_texts(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=300)
    lab.full()
    lab.push(fields={k: v for k, v in FIELDS.items() if k != "price"})

    counts = lab.full().counts

    assert (counts.embedded, counts.reused) == (0, 300)
    assert lab.audit().clean
    assert lab.index.get("7") is not None
    assert "price" not in (lab.index.get("7") or {})


def test_changes_that_arrive_while_building_are_in_the_new_index_at_the_switch(
    tmp_path: Path,
) -> None:
    # given a rebuild whose first page is read when rows of it change and the webhook says so
    lab = Lab.at(tmp_path, rows=1_000)
    lab.full()
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    meddled = threading.Event()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'first ' || id")

    def change(_: Sequence[str]) -> None:
        if meddled.is_set():
            return
        meddled.set()
        with lab.source() as db:
            db.execute("UPDATE items SET name = 'second' WHERE id = 5")
            db.execute("DELETE FROM items WHERE id = 6")
        with lab.project.registry.begin() as db:
            named = [("5", Action.UPSERT), ("6", Action.DELETE)]
            changes.append(db, lab.lens.id, named, lab.project.clock())

    # when it publishes
    run_job(Meddled.of(lab.project, change), job.id)

    # then the new index has them, without any further sync
    assert lab.audit().clean
    assert "6" not in set(lab.indexed()[KEY])


def test_rows_deleted_while_building_are_not_published(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1_000)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    calls: list[int] = []

    def delete(_: Sequence[str]) -> None:
        calls.append(1)
        if len(calls) == 2:
            with lab.source() as db:
                db.execute("DELETE FROM items WHERE id <= 10")

    run_job(Meddled.of(lab.project, delete), job.id)

    assert lab.index.count() == 990
    assert lab.audit().clean


def test_a_failed_rebuild_leaves_the_old_index_serving_and_goes_on_later(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1_000)
    lab.full()
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new ' || id")
    job = lifecycle.request_rebuild(lab.project, ENV, "items")
    calls: list[int] = []

    def break_down(_: Sequence[str]) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise TooManyFailures("The model is broken.", cure="Mend it.")

    with pytest.raises(TooManyFailures):
        run_job(Meddled.of(lab.project, break_down), job.id)

    assert lab.index.count() == 1_000
    assert lab.lens.status is LensStatus.ERROR
    assert (lab.lens.error, lab.lens.cure) == ("The model is broken.", "Mend it.")
    building = lab.building()
    assert building is not None
    with lab.project.registry.read() as registry:
        [shard] = shards.list_all(registry, building.id)
    assert 0 < shard.counts.read < 1_000

    resumed = lifecycle.resume(lab.project, ENV, "items")
    assert resumed.job is not None
    outcome = lab.run(resumed.job)
    assert outcome.ended is RunEnd.COMPLETED
    assert outcome.counts.read < 1_000  # it went on from the saved place
    assert lab.audit().clean


def test_a_push_while_building_starts_over_with_the_new_configuration(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1_000)
    job = lifecycle.request_rebuild(lab.project, ENV, "items")

    def pause(_: Sequence[str]) -> None:
        lifecycle.pause(lab.project, ENV, "items")
        time.sleep(PAUSE_CHECK_SECONDS)

    assert run_job(Meddled.of(lab.project, pause), job.id).ended is RunEnd.PAUSED
    first = lab.building()
    lab.push(fields=FIELDS | {"name": {"type": "text", "searchable": {"weight": 3}}})
    lifecycle.resume(lab.project, ENV, "items")
    lab.run(job)

    assert first is not None
    assert not lab.project.store(ENV).exists(first.index_name)
    assert lab.audit().clean


def test_an_index_is_not_replaced_by_one_that_lost_its_rows(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=500)
    lab.full()
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id > 200")

    with pytest.raises(GuardStopped, match="200 rows, the one in use 500"):
        lab.full()
    assert lab.index.count() == 500

    confirmed = lifecycle.request_rebuild(lab.project, ENV, "items", confirmed=True)
    lab.run(confirmed)
    assert lab.index.count() == 200


def test_rebuild_in_place_drops_the_old_index_first(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=1_000, rebuild="in_place")
    lab.full()
    old = lab.index.name
    there: list[bool] = []

    lab.full(report=lambda _: there.append(lab.project.store(ENV).exists(old)))

    assert there
    assert not any(there)
    assert lab.audit().clean


def test_a_model_of_another_dimension_needs_and_gets_a_rebuild(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=100)
    lab.full()
    lab.push(embedding={"provider": "hash", "dimensions": 32})
    assert lab.lens.needs.value == "rebuild"

    # until then the old index is kept in step by the model it was built with
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'changed' WHERE id = 1")
    assert lab.sync().counts.written == 1
    assert lab.index.dimension == 384

    lab.full()
    assert lab.index.dimension == 32
    assert lab.lens.needs.value == "nothing"
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        assert len(generations.retired(db, lab.lens.id)) == 1
