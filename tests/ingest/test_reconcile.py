"""A smart sync deletes what is surely gone, and nothing else (invariant 5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected, SourceUnreachable
from semilayer_pipelines.ingest import retry
from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import changes, failed_rows
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import LensStatus
from semilayer_pipelines.stores.protocol import KEY, Index
from tests.ingest.strangers import double, put, shorten
from tests.lab import Lab
from tests.meddling import Meddled
from tests.mortal import Life, mortal

ROWS = 2_000


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab.at(tmp_path, rows=ROWS, shards=4)
    lab.full()
    return lab


def in_shard(index: Index, shard: int) -> int:
    return sum(frame.height for frame in index.scan(shard=shard))


def test_a_row_that_is_back_by_the_second_look_is_not_deleted(lab: Lab) -> None:
    # given a row that is away while the source is walked, as during somebody's delete and insert
    with lab.source() as db:
        row = db.execute("SELECT * FROM items WHERE id = 77").fetchone()
        db.execute("DELETE FROM items WHERE id IN (77, 78)")

    def put_back(ids: Sequence[str]) -> None:
        assert "77" in ids
        with lab.source() as db:
            db.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?)", row)

    # when the sync looks at it again
    counts = run_job(
        Meddled.of(lab.project, looking=put_back), lab.request(Mode.SMART_SYNC).id
    ).counts

    # then its object was never touched, and only the other one's is gone
    assert counts.deleted == 1
    assert lab.audit().clean


def test_a_row_named_to_us_after_the_second_look_is_left_to_that_change(lab: Lab) -> None:
    with lab.source() as db:
        row = db.execute("SELECT * FROM items WHERE id = 77").fetchone()
        db.execute("DELETE FROM items WHERE id = 77")
    came: list[bool] = []

    def insert_and_tell(verb: str) -> None:
        if verb == "lock" and not came:
            came.append(True)
            with lab.source() as db:
                db.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", row)
            with lab.project.registry.begin() as db:
                changes.append(db, lab.lens.id, [("77", Action.UPSERT)], lab.project.clock())

    counts = run_job(
        Meddled.of(lab.project, before=insert_and_tell), lab.request(Mode.SMART_SYNC).id
    ).counts

    assert came
    assert counts.deleted == 0
    assert lab.audit().clean


@pytest.mark.parametrize(
    ("step", "time"),
    [("source.read_page", 2), ("source.read_rows", 1)],
    ids=["in the middle of the walk", "at the second look"],
)
def test_a_source_that_goes_away_deletes_nothing(
    lab: Lab, step: str, time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given rows that are really gone, and a source that stops to answer before that is sure
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.0)
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id % 10 = 0")
    seen: list[str] = []

    def away(what: str, _: Life) -> None:
        seen.append(what)
        if what == step and seen.count(step) >= time:
            raise SourceUnreachable("The source does not answer.")

    job = lab.request(Mode.SMART_SYNC)
    with pytest.raises(SourceUnreachable):
        run_job(mortal(lab.project, Life(away), page_rows=ROWS // 4), job.id)

    # then nothing is, and the next attempt does it
    assert seen.count(step) > time, "it was asked again"
    assert lab.index.count() == ROWS
    assert lab.run(job).counts.deleted == ROWS // 10
    assert lab.audit().clean


def test_a_deleted_row_is_a_tombstone_and_its_failure_is_forgotten(lab: Lab) -> None:
    # given a row that could not be mapped and one that never was in the index for that reason
    with lab.source() as db:
        db.execute("UPDATE items SET category = 'unknown' WHERE id = 5")
        db.execute("INSERT INTO items VALUES (9000, 'a', 'b', 1, 'unknown', '2024-01-01')")
    assert lab.sync().counts.failed == 2
    assert lab.index.fetch(["5"]).height == 1  # the old object of a row that is there stays

    # when both are deleted
    with lab.source() as db:
        db.execute("DELETE FROM items WHERE id IN (5, 9000)")
    lab.sync()

    # then nothing speaks of them any more
    assert lab.audit().clean
    with lab.project.registry.read() as db:
        assert failed_rows.count(db, lab.lens.id) == 0


def test_a_text_that_the_embedder_rejects_costs_one_row_until_it_is_mended(lab: Lab) -> None:
    # given 1 % changed rows, one of them poison to the model
    with lab.source() as db:
        db.execute("UPDATE items SET description = description || ' more' WHERE id % 100 = 1")
        db.execute("UPDATE items SET name = 'poison' WHERE id = 101")

    def reject(texts: Sequence[str]) -> None:
        if any("poison" in text for text in texts):
            raise EmbeddingRejected("The text cannot be embedded.")

    meddled = Meddled.of(lab.project, reject)

    # when the lens is synced, then that row alone is stale, and is set aside with its reason
    assert run_job(meddled, lab.request(Mode.SMART_SYNC).id).counts.written == 19
    assert (lab.audit().stale, lab.audit().missing) == (1, 0)
    with lab.project.registry.read() as registry:
        [failed] = failed_rows.list_all(registry, lab.lens.id, 10)
    assert (failed.key, failed.stage) == ("101", "embedding")
    assert failed.reason == "The text cannot be embedded."

    # and it is tried again by the next sync, and comes back when it was mended
    run_job(meddled, lab.request(Mode.SMART_SYNC).id)
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'food' WHERE id = 101")
    run_job(meddled, lab.request(Mode.SMART_SYNC).id)
    assert lab.audit().clean
    with lab.project.registry.read() as registry:
        assert failed_rows.count(registry, lab.lens.id) == 0


def test_the_repair_of_a_shard_touches_nothing_else(lab: Lab) -> None:
    # given the same damage in two shards
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new' WHERE id IN (10, 1990)")
        db.execute("DELETE FROM items WHERE id IN (11, 1991)")
    with lab.index.lock():
        lab.index.delete(["12", "1992"])
    assert (in_shard(lab.index, 0), in_shard(lab.index, 3)) == (499, 499)

    # when one is repaired
    counts = lab.run(lab.request(Mode.REPAIR, shard=0)).counts

    # then that one is in sync, and the other as it was
    assert (counts.read, counts.written, counts.deleted) == (499, 2, 1)
    left = lab.audit()
    assert (left.missing, left.orphan, left.stale) == (1, 1, 1)
    assert lab.run(lab.request(Mode.REPAIR, shard=3)).counts.written == 2
    assert lab.audit().clean


@pytest.mark.parametrize("mode", [Mode.SMART_SYNC, Mode.RECORDS, Mode.INCREMENTAL])
def test_two_objects_of_a_changed_row_become_one_whoever_writes_it(lab: Lab, mode: Mode) -> None:
    double(lab, "7", "8")
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new', updated_at = '2024-09-09' WHERE id IN (7, 8)")
    with lab.project.registry.begin() as db:
        named = [(key, Action.UPSERT) for key in ("7", "8", "9")]
        changes.append(db, lab.lens.id, named, lab.project.clock())
    assert lab.audit().doubled == 2

    lab.run(lab.request(mode))

    assert lab.audit().clean


def test_two_objects_of_a_row_are_one_missing_only_while_they_are_replaced(lab: Lab) -> None:
    # given doubled rows in the last page of a sync that is paused before it gets there
    double(lab, "7", "1999")
    seen: list[bool] = []
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'new' WHERE id = 1")

    # when it is at work, then neither of a pair is taken out before its page is written
    def look(verb: str) -> None:
        if verb == "upsert":
            seen.append(set(lab.indexed()[KEY]) >= {"1999"})

    run_job(Meddled.of(lab.project, before=look), lab.request(Mode.SMART_SYNC).id)

    assert seen[0] is True
    assert lab.audit().clean


def test_a_row_without_a_change_is_neither_embedded_nor_written(lab: Lab) -> None:
    verbs: list[str] = []

    counts = run_job(
        Meddled.of(lab.project, before=verbs.append), lab.request(Mode.SMART_SYNC).id
    ).counts

    assert (counts.read, counts.unchanged) == (ROWS, ROWS)
    assert not {"add", "upsert", "delete", "lock"} & set(verbs)


def test_objects_that_have_no_right_to_be_there_are_removed(lab: Lab) -> None:
    # given ids that name no row, one of which never could; two objects of a row; and one whose
    # vector another model made
    put(lab, "1", "2", _key=lambda keys: pa.array([f"foreign {key}" for key in keys]))
    put(lab, "3", _key=lambda keys: pa.array(["999999"] * len(keys)))
    double(lab, "7", "8")
    with lab.index.lock():
        lab.index.delete(["9"])
    put(lab, "10", _key=lambda keys: pa.array(["9"]), _text_hash=lambda _: pa.array([b"0" * 16]))
    assert (lab.audit().orphan, lab.audit().doubled, lab.audit().stale) == (3, 2, 1)

    # when
    counts = lab.sync().counts

    # then each is gone or in sync, and nothing else was touched
    assert lab.audit().clean
    assert (counts.deleted, counts.written, counts.unchanged) == (3, 3, ROWS - 3)


def test_an_object_of_another_model_is_embedded_again(lab: Lab) -> None:
    # given an object that is its row in all but the vector
    before = lab.object_of("5")
    with lab.index.lock():
        lab.index.delete(["5"])
    put(
        lab,
        "6",
        _key=lambda _: pa.array(["5"]),
        _row_hash=lambda _: pa.array([before["_row_hash"]]),
        _text_hash=lambda _: pa.array([b"0" * 16]),
    )

    counts = lab.sync().counts

    assert (counts.embedded, counts.written) == (1, 1)
    assert lab.object_of("5")["_vector"] == before["_vector"]


def test_an_index_of_another_dimension_is_refused_and_not_mixed(lab: Lab) -> None:
    shorten(lab)

    # when it is synced, with nothing to write, then a person is told what helps
    with pytest.raises(DimensionChanged, match=r"2 dimensions.*Rebuild"):
        lab.sync()


def test_the_repair_of_a_shard_that_the_index_has_not_finds_nothing_to_do(lab: Lab) -> None:
    # given a lens that asks for more shards than its index was built with
    lab.push(shards=8)

    # when
    outcome = lab.run(lab.request(Mode.REPAIR, shard=6))

    # then
    assert (outcome.ended, outcome.counts) == (RunEnd.COMPLETED, Counts())
    assert lab.lens.status is LensStatus.READY
    assert lab.audit().clean
