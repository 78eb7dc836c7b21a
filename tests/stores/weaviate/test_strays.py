"""Objects in our collection that we did not write, or that are under foreign ids."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from semilayer_pipelines.stores.protocol import KEY, ROW_HASH, VECTOR, Index
from tests.stores.objects import ONE_FIELD, names, objects, vector_of
from tests.stores.weaviate.doubled import (
    collection_of,
    found_by,
    keys_of,
    known,
    opened,
    slots,
    write,
)
from tests.weaviate_double.server import Double
from tests.weaviate_double.shard import Stored


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    index = opened(double, tmp_path).create("lens-g1", ONE_FIELD)
    write(index, objects(names(3)))
    return index


def copy(double: Double, key: str, **without: None) -> bytes:
    """Copy the object of a key to an id of somebody else's."""
    part = collection_of(double)
    (own,) = [each for each in part.objects.values() if each.properties["_key"] == key]
    properties = {name: told for name, told in own.properties.items() if name not in without}
    id_ = uuid.uuid4().bytes
    part.put(id_, Stored(properties, own.vector, 0))
    return id_


def foreign(double: Double, **properties: object) -> bytes:
    """Put an object of another tool into our collection."""
    id_ = uuid.uuid4().bytes
    collection_of(double).put(id_, Stored(dict(properties), vector_of(7), 0))
    return id_


def test_a_copy_under_a_foreign_id_is_shown_as_a_second_object_and_a_write_removes_it(
    double: Double, index: Index
) -> None:
    stray = copy(double, "key-000001")
    assert keys_of(index).count("key-000001") == 2

    write(index, objects(["key-000001"]))

    assert stray not in collection_of(double).objects
    assert keys_of(index) == names(3)


def test_a_row_that_is_only_under_a_foreign_id_never_is_what_it_should_be(
    double: Double, index: Index
) -> None:
    stray = copy(double, "key-000001")
    with index.lock():
        index.delete(["key-000001"])
    assert stray in collection_of(double).objects  # no scan had met it
    assert known(index)["key-000001"][0] is None

    write(index, objects(["key-000001"]))
    assert stray not in collection_of(double).objects
    assert slots(collection_of(double), "key-000001") == [0]


def test_a_delete_takes_what_a_scan_met_under_foreign_ids(double: Double, index: Index) -> None:
    copy(double, "key-000001")
    keys_of(index)
    with index.lock():
        assert index.delete(["key-000001"]) == 2
    assert keys_of(index) == ["key-000000", "key-000002"]


def test_an_object_without_a_key_goes_by_a_name_that_deletes_it(
    double: Double, index: Index
) -> None:
    id_ = foreign(double, title="of another tool")
    (name,) = set(keys_of(index)) - set(names(3))
    assert str(uuid.UUID(bytes=id_)) in name

    with index.lock():
        assert index.delete([name]) == 1
    assert keys_of(index) == names(3)


def test_an_object_without_hashes_is_unlike_every_row(double: Double, index: Index) -> None:
    part = collection_of(double)
    (own,) = [each for each in part.objects.values() if each.properties["_key"] == "key-000001"]
    own.properties = {"_key": "key-000001", "title": "by hand"}

    assert known(index)["key-000001"] == (None, None)
    assert index.fetch(["key-000001"])[ROW_HASH].to_list() == [None]
    assert index.get("key-000001") is not None
    write(index, objects(["key-000001"]))
    assert None not in known(index)["key-000001"]


def test_hashes_that_are_none_are_no_fault_of_ours(double: Double, index: Index) -> None:
    part = collection_of(double)
    for each in part.objects.values():
        each.properties["_row_hash"] = "not a hash"
    # The sums are those of before, so the ledger is believed; a look at the objects is not.
    assert index.fetch(names(3))[ROW_HASH].to_list() == [None] * 3


def test_searches_leave_out_what_has_no_key(double: Double, index: Index) -> None:
    foreign(double, title="of another tool")
    found = index.search(vector_of(7).tolist(), limit=10)
    assert sorted(found[KEY]) == names(3)


def test_an_object_without_a_vector_is_written_again(double: Double, index: Index) -> None:
    part = collection_of(double)
    (own,) = [each for each in part.objects.values() if each.properties["_key"] == "key-000001"]
    own.vector = None
    fetched = index.fetch(["key-000001"])
    assert fetched.select("_text_hash").to_series().to_list() == [None]  # nothing to take over
    assert fetched[VECTOR].to_list() == [[0.0] * 8]
    frame = objects(["key-000001"])
    write(index, frame)
    assert found_by(index, frame) == {"key-000001": 1.0}
