"""No row vanishes while it is written: a changed text is inserted beside the old one."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import polars as pl
import pytest

from semilayer_pipelines.errors import ObjectsRejected, StoreUnavailable
from semilayer_pipelines.stores.protocol import INDEXED_AT, KEY, VECTOR, Index, IndexSchema
from semilayer_pipelines.stores.weaviate.ids import object_id
from semilayer_pipelines.stores.weaviate.reads import Reads
from semilayer_pipelines.stores.weaviate.schema import LATER
from semilayer_pipelines.stores.where import parse_where
from tests.patience import PATIENCE_SECONDS
from tests.stores.objects import ONE_FIELD, hash_of, names, objects, vector_of
from tests.stores.weaviate.doubled import changed, collection_of, found_by, opened, slots, write
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double
from tests.weaviate_double.shard import Stored

BY_TITLE = IndexSchema(ONE_FIELD.fields, ONE_FIELD.dimension, "title")


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    return opened(double, tmp_path).create("lens-g1", ONE_FIELD)


def later(frame: pl.DataFrame, seconds: int) -> pl.DataFrame:
    return frame.with_columns(pl.col(INDEXED_AT) + timedelta(seconds=seconds))


def leave_both(double: Double, index: Index, key: str, *, text: str) -> pl.DataFrame:
    """Let a writer die after the new object was acknowledged and before the old one goes."""
    frame = later(changed([key], text), 1)
    double.faults.add("BatchDelete", Kind.STATUS, times=50, code=grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(StoreUnavailable):
        write(index, frame)
    double.faults.waiting.clear()
    assert slots(collection_of(double), key) == [0, 1]
    return frame


def test_both_ids_are_uuids_of_version_5_that_follow_from_the_key() -> None:
    for key in ("a", "é", '["x",1]', ""):
        first, second = (uuid.UUID(object_id(key, slot)) for slot in range(2))
        assert first.version == second.version == 5
        assert first.variant == second.variant == uuid.RFC_4122
        assert first == uuid.uuid5(uuid.UUID("9f0f7c4e-6b0e-5b0c-9d5e-2f2a6d5c1f7b"), key)
        assert first != second


def test_a_changed_text_goes_to_the_other_id_and_back(double: Double, index: Index) -> None:
    write(index, objects(["a", "b"]))
    assert slots(collection_of(double), "a") == [0]

    write(index, changed(["a"], "another"))
    assert slots(collection_of(double), "a") == [1]
    assert slots(collection_of(double), "b") == [0]

    write(index, changed(["a"], "a third"))
    assert slots(collection_of(double), "a") == [0]
    assert index.count() == 2


def test_an_unchanged_text_is_overwritten_in_place(double: Double, index: Index) -> None:
    write(index, objects(["a"]))
    row = objects(["a"]).with_columns(pl.Series("title", ["new"]), _row_hash=pl.lit(hash_of("new")))
    write(index, row)
    assert slots(collection_of(double), "a") == [0]
    stored = index.get("a")
    assert stored is not None
    assert stored["title"] == "new"


def test_no_answer_is_short_or_doubled_while_rows_are_rewritten(
    double: Double, index: Index
) -> None:
    # given a server that is without the vectors of a request until it has reached its end
    keys, query = names(40), vector_of(1).tolist()
    write(index, objects(keys))
    double.state.gap_s = 0.05
    answers: list[list[str]] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            answers.append(index.search(query, limit=50)[KEY].to_list())

    searching = threading.Thread(target=search)
    searching.start()

    # when all rows are rewritten again and again
    for number in range(8):
        write(index, later(changed(keys, f"text {number}"), number))
    stop.set()
    searching.join()

    # then each answer has all of them, once
    assert len(answers) > 20
    assert {tuple(sorted(answer)) for answer in answers} == {tuple(keys)}


def leave_on_the_way(double: Double, vectors: int) -> None:
    """Let so many vectors of each shard come from the queue and not get into the index."""
    for shard in double.state.shards():
        shard.late = vectors


@pytest.mark.parametrize("schema", [ONE_FIELD, BY_TITLE], ids=["plain", "tenants"])
@pytest.mark.parametrize("on_the_way", [1, 20], ids=["the last", "some"])
def test_the_old_object_stays_until_the_new_one_is_found_though_nothing_waits_any_more(
    tmp_path: Path, schema: IndexSchema, on_the_way: int
) -> None:
    # given a server that indexes later, and two tenants if there are any
    keys = names(40)
    title = pl.Series("title", ["one", "two"] * 20)
    with Double.serving(async_indexing=True) as double:
        index = opened(double, tmp_path).create("lens-g1", schema)
        write(index, objects(keys).with_columns(title))
        index.settle()

        # when its queue is empty, and the last vectors are not in the index yet
        double.state.indexing_s = 0.1
        leave_on_the_way(double, on_the_way)
        with ThreadPoolExecutor(1) as pool:
            new = later(changed(keys, "another"), 1).with_columns(title)
            writing = pool.submit(write, index, new)
            time.sleep(0.6)
            where = {"title": "two"} if schema is BY_TITLE else {}
            found = index.search(
                vector_of(1).tolist(), limit=50, where=parse_where(where, ["title"])
            )

            # then each row is found, and the old objects go when the new ones are in
            assert not writing.done()
            assert set(found[KEY]) == {*(keys[1::2] if where else keys)}
            leave_on_the_way(double, 0)
            writing.result(PATIENCE_SECONDS)
        assert index.count() == len(keys)


def test_what_a_killed_writer_left_is_shown_once_and_the_next_write_leaves_one(
    double: Double, index: Index
) -> None:
    write(index, objects(["a", "b"]))
    newer = leave_both(double, index, "a", text="newer")

    assert found_by(index, newer) == {"a": 1.0}
    assert index.search(newer[VECTOR].to_list()[0], limit=2)[KEY].n_unique() == 2
    assert index.fetch(["a"]).height == 2  # whoever compares learns that there are two

    again = later(changed(["a"], "newest"), 2)
    write(index, again)
    assert len(slots(collection_of(double), "a")) == 1
    assert found_by(index, again) == {"a": 1.0}


def test_the_same_row_written_again_leaves_one_of_two(double: Double, index: Index) -> None:
    write(index, objects(["a"]))
    newer = leave_both(double, index, "a", text="newer")
    write(index, newer)
    assert len(slots(collection_of(double), "a")) == 1
    assert found_by(index, newer) == {"a": 1.0}


def test_a_delete_takes_both(double: Double, index: Index) -> None:
    write(index, objects(["a"]))
    leave_both(double, index, "a", text="newer")
    with index.lock():
        index.delete(["a"])
    assert index.count() == 0


def test_what_got_no_answer_is_never_written_over(double: Double, index: Index) -> None:
    """A crash may have hidden it, and the server leaves an equal vector alone."""
    # given an insert that was stored, whose answer is lost, and that no search finds
    double.faults.add("BatchObjects", Kind.APPLIED, code=grpc.StatusCode.UNAVAILABLE)
    part = collection_of(double)
    put = part.index

    def lose(id_: bytes, due: float | None) -> None:
        part.index = put  # type: ignore[method-assign]

    part.index = lose  # type: ignore[method-assign]

    # when the write is tried again
    frame = objects(["a"])
    write(index, frame)

    # then the row is found, and once
    assert found_by(index, frame) == {"a": 1.0}
    assert index.count() == 1


def test_what_a_crash_stored_and_left_in_no_index_is_taken_out_before_it_is_written(
    double: Double, index: Index
) -> None:
    """Written over, it would stay in none: the server indexes only what changed."""
    # given an insert that was stored, whose answer is lost, and that not even its id finds
    part = collection_of(double)
    double.faults.add("BatchObjects", Kind.APPLIED, code=grpc.StatusCode.UNAVAILABLE)
    store = part.store

    def unlisted(id_: bytes, stored: Stored) -> bool:
        part.store = store  # type: ignore[method-assign]
        part.unlisted.add(id_)
        store(id_, stored)
        part.unlisted.add(id_)
        return False

    part.store = unlisted  # type: ignore[method-assign]

    # when the write is tried again
    frame = objects(["a"])
    write(index, frame)

    # then all ways lead to the row, and it is there once
    assert index.fetch(["a"])[KEY].to_list() == ["a"]
    assert found_by(index, frame) == {"a": 1.0}
    assert index.count() == 1


def test_a_page_that_is_sent_again_after_an_outage_is_in_doubt(
    double: Double, index: Index
) -> None:
    # given a page of which all attempts got no answer, and an object of it is in no index
    part = collection_of(double)
    double.faults.add("BatchObjects", Kind.APPLIED, times=4, code=grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(StoreUnavailable):
        write(index, objects(["a", "b"]))
    part.unlisted.update(id_ for id_, each in part.objects.items() if each.properties[KEY] == "a")

    # when the run sends the page again
    write(index, objects(["a", "b"]))

    # then
    assert sorted(index.fetch(["a", "b"])[KEY]) == ["a", "b"]
    assert index.count() == 2
    assert not part.unlisted


def test_one_of_two_objects_that_is_in_no_index_goes_when_its_row_is_written(
    double: Double, index: Index
) -> None:
    # given a row that a scan shows twice, once under an id that leads nowhere
    write(index, objects(["a"]))
    leave_both(double, index, "a", text="newer")
    part = collection_of(double)
    part.unlisted.add(uuid.UUID(object_id("a", 1)).bytes)

    # when
    with index.lock():
        index.upsert(changed(["a"], "newest"), doubled=["a"])

    # then
    assert len(part.objects) == index.count() == 1


def test_an_object_in_no_index_is_hidden_and_written_again(double: Double, index: Index) -> None:
    # given what a writer and a server left that died at the same moment
    frame = objects(["a", "b"])
    write(index, frame)
    part = collection_of(double)
    (lost,) = (id_ for id_, each in part.objects.items() if each.properties[KEY] == "a")
    part.unlisted.add(lost)
    part.unsearchable.add(lost)
    assert index.fetch(["a", "b"])[KEY].to_list() == ["b"]

    # then it is told from a row that is not there, and mended with the vector it has
    assert index.hidden(["a", "b", "c"]) == ["a"]
    with index.lock():
        assert index.rewrite(["a"]) == 1
    assert found_by(index, frame) == {"a": 1.0, "b": 1.0}
    assert index.count() == 2


def test_what_only_a_scan_finds_is_deleted_by_its_address(double: Double, index: Index) -> None:
    # given a row that a crash left in no index, beside others
    write(index, objects(["a", "b", "c"]))
    part = collection_of(double)
    part.lose(lambda key: key == "a")
    with index.lock():
        assert index.delete(["a"]) == 0

    # when, then
    assert "a" in pl.concat(index.scan())[KEY].to_list()
    with index.lock():
        assert index.delete(["a", "b", "no row's"], scanned=True) == 2
    assert index.count() == 1


def test_an_unchanged_text_without_an_answer_goes_to_the_other_id(
    double: Double, index: Index
) -> None:
    write(index, objects(["a"]))
    double.faults.add("BatchObjects", Kind.APPLIED, code=grpc.StatusCode.UNAVAILABLE)
    write(index, objects(["a"]))
    assert slots(collection_of(double), "a") == [1]


def test_objects_that_are_refused_leave_the_old_ones(double: Double, index: Index) -> None:
    write(index, objects(["a", "b"]))
    text = "invalid text property 'title'"
    double.faults.add("BatchObjects", Kind.OBJECTS, times=9, text=text, keys=frozenset({"a"}))
    with pytest.raises(ObjectsRejected):
        write(index, changed(["a", "b"], "another"))
    double.faults.waiting.clear()
    assert slots(collection_of(double), "a") == [0]
    assert slots(collection_of(double), "b") == [1]


def test_a_zero_vector_never_reaches_the_server(index: Index) -> None:
    frame = objects(["a", "b"])
    zero = pl.Series([[0.0] * 8, frame[VECTOR].to_list()[1]], dtype=frame.schema[VECTOR])
    with pytest.raises(ObjectsRejected) as refused:
        write(index, frame.with_columns(zero.alias(VECTOR)))
    assert refused.value.reasons == {"a": "its vector is zero"}
    assert index.count() == 1


def test_an_older_collection_goes_over_row_by_row(double: Double, tmp_path: Path) -> None:
    # given a collection without the properties of today, with objects of yesterday
    store = opened(double, tmp_path)
    write(store.create("lens-g1", ONE_FIELD), objects(["a", "b"]))
    part = collection_of(double)
    later_names = {*LATER}
    kept = [each for each in part.config["properties"] if each["name"] not in later_names]
    part.config["properties"] = kept
    for stored in part.objects.values():
        for name in later_names:
            stored.properties.pop(name)

    # when it is opened, read and written to
    index = store.open("lens-g1")
    assert "Every sync reads all of the index" in str(index.advice())
    assert sorted(key for frame in index.scan() for key in frame[KEY]) == ["a", "b"]
    write(index, changed(["a"], "another"))

    # then it has them, and what was changed has its numbers
    assert later_names <= {each["name"] for each in part.config["properties"]}
    assert slots(part, "a") == [1]
    (new,) = [each for each in part.objects.values() if each.properties["_key"] == "a"]
    assert later_names <= new.properties.keys()
    assert sorted(key for frame in index.scan() for key in frame[KEY]) == ["a", "b"]
    again = store.open("lens-g1")
    assert sorted(key for frame in again.scan() for key in frame[KEY]) == ["a", "b"]
    assert "Every sync reads all of the index" in str(again.advice())
    write(again, changed(["b"], "another"))
    assert again.advice() is None


def test_rows_that_are_there_twice_do_not_make_up_for_rows_that_an_answer_lacks(
    double: Double, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are replaced between the server's two steps, finding and reading, and once more."""
    # given an answer that has one row twice, and lacks one that was replaced meanwhile
    write(index, objects(["a", "b"]))
    leave_both(double, index, "a", text="newer")
    part, near, asked = collection_of(double), Reads._near, list[int]()

    def replaced_meanwhile(self: Reads, *question: Any) -> list[Any]:
        asked.append(1)
        found = list(near(self, *question))
        if len(asked) == 1:
            part.remove(uuid.UUID(object_id("a")).bytes)
            return [each for each in found if each.properties[KEY] != "b"]
        return found

    monkeypatch.setattr(Reads, "_near", replaced_meanwhile)

    # then the search shows both rows, each once
    assert sorted(index.search(vector_of(1).tolist(), limit=10)[KEY]) == ["a", "b"]


def test_a_row_is_not_lacking_because_another_is_there_twice(
    double: Double, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given the nearest row, which the first answer lacks though it has as many as were asked for
    rows = objects(names(6))
    write(index, rows)
    leave_both(double, index, names(1)[0], text="newer")
    nearest = names(1, start=5)[0]
    near, asked = Reads._near, list[int]()

    def replaced_meanwhile(self: Reads, *question: Any) -> list[Any]:
        found = list(near(self, *question))
        asked.append(question[1])
        lacks = asked == [5, 10]
        return [each for each in found if not lacks or each.properties[KEY] != nearest]

    monkeypatch.setattr(Reads, "_near", replaced_meanwhile)
    vector = rows.filter(pl.col(KEY) == nearest)[VECTOR].to_list()[0]
    assert index.search(vector, limit=5)[KEY][0] == nearest
