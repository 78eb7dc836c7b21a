"""What a bare server does with vectors: when they are found, and which it takes at all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, MetadataQuery
from weaviate.exceptions import WeaviateInsertManyAllFailedError, WeaviateQueryError

from tests.patience import PATIENCE_SECONDS
from tests.stores.weaviate.bare import Server, id_of, vectors

MANY, WIDE = 400, 256
"""Enough for a real server to need some tenths of a second, so that readers see the middle."""


def not_found(collection: Any, numbers: Sequence[int], own: np.ndarray) -> list[int]:
    """Return the objects that a search by their own vectors does not find."""
    missed = []
    for number, vector in zip(numbers, own, strict=True):
        found = collection.query.near_vector(vector.tolist(), limit=3).objects
        if id_of(number) not in {each.uuid for each in found}:
            missed.append(number)
    return missed


def fewest_while(collection: Any, numbers: Sequence[int], write: Callable[[], object]) -> int:
    """Return how many of some objects the poorest answer has that a reader gets meanwhile."""
    wanted = {id_of(number) for number in numbers}
    query = vectors(1, 99, WIDE)[0].tolist()

    def count() -> int:
        found = collection.query.near_vector(query, limit=2 * MANY).objects
        return len(wanted & {each.uuid for each in found})

    assert count() == len(wanted)
    writing = threading.Thread(target=write)
    writing.start()
    counts = [count()]
    while writing.is_alive():
        counts.append(count())
    writing.join()
    assert count() == len(wanted)
    return min(counts)


@pytest.fixture
def filled(server: Server) -> Any:
    """Give a collection of `MANY` objects, on a double that lets readers see the middle."""
    if server.double is not None:
        server.double.state.gap_s = 0.3
    made = server.make()
    assert not made.data.insert_many(server.objects(range(MANY), vectors(MANY, 0, WIDE))).errors
    return made


def test_an_overwrite_with_another_vector_takes_an_object_out_of_search_for_a_while(
    server: Server, filled: Any
) -> None:
    new = vectors(MANY, 1, WIDE)
    written = server.objects(range(MANY), new)
    assert fewest_while(filled, range(MANY), lambda: filled.data.insert_many(written)) < MANY
    assert not_found(filled, range(MANY), new) == []


def test_an_overwrite_with_an_equal_vector_leaves_no_gap(server: Server, filled: Any) -> None:
    written = server.objects(range(MANY), vectors(MANY, 0, WIDE), share=0.5)
    assert fewest_while(filled, range(MANY), lambda: filled.data.insert_many(written)) == MANY


def test_objects_put_in_beside_the_old_ones_leave_no_gap(server: Server, filled: Any) -> None:
    new = range(MANY, 2 * MANY)
    written = server.objects(new, vectors(MANY, 1, WIDE))
    assert fewest_while(filled, range(MANY), lambda: filled.data.insert_many(written)) == MANY
    old = Filter.by_id().contains_any([id_of(number) for number in range(MANY)])
    assert fewest_while(filled, new, lambda: filled.data.delete_many(where=old)) == MANY
    assert not_found(filled, new, vectors(MANY, 1, WIDE)) == []


def test_what_is_acknowledged_is_found_at_once(server: Server) -> None:
    made = server.make()
    for turn in range(5):
        numbers = range(10 * turn, 10 * turn + 10)
        own = vectors(10, turn)
        made.data.insert_many(server.objects(numbers, own))
        assert not_found(made, numbers, own) == []


def test_with_asynchronous_indexing_what_is_acknowledged_is_found_later(later: Server) -> None:
    made, own = later.make(), vectors(200)
    made.data.insert_many(later.objects(range(200), own))
    # then all is there but for the vectors, and the node tells how many are to come
    assert len(not_found(made, range(20), own[:20])) == 20
    assert made.aggregate.over_all(total_count=True).total_count == 200
    (node,) = later.told(f"/nodes/{later.name('things')}?output=verbose")["nodes"]
    (told,) = node["shards"]
    assert told["vectorQueueLength"] >= 200
    (shard,) = later.told(f"/schema/{later.name('things')}/shards")
    assert (told["vectorIndexingStatus"], shard["status"]) == ("INDEXING", "INDEXING")
    # The size that the shard tells is none: a server never fills it in.
    assert shard["vectorQueueSize"] == 0
    wait_until_indexed(later)
    assert not_found(made, range(200), own) == []


def test_with_asynchronous_indexing_a_changed_vector_is_found_neither_way_at_first(
    later: Server,
) -> None:
    made, old, new = later.make(), vectors(100), vectors(100, 1)
    made.data.insert_many(later.objects(range(100), old))
    wait_until_indexed(later)
    made.data.insert_many(later.objects(range(100), new))
    assert len(not_found(made, range(10), old[:10])) == 10
    assert len(not_found(made, range(10), new[:10])) == 10
    # nor under a condition
    only = Filter.by_property("whole").equal(3)
    assert made.query.near_vector(new[3].tolist(), limit=3, filters=only).objects == []
    wait_until_indexed(later)
    assert not_found(made, range(100), new) == []


def wait_until_indexed(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        (node,) = server.told(f"/nodes/{server.name('things')}?output=verbose")["nodes"]
        if not any(shard["vectorQueueLength"] for shard in node["shards"]):
            return
        time.sleep(0.05)
    pytest.fail("the vectors are not indexed")


def test_vectors_that_are_no_numbers_are_taken_and_are_infinitely_far(server: Server) -> None:
    made = server.make()
    strange = np.array([[math.nan, 0, 0], [math.inf, 0, 0], [0, 0, 0]], dtype=np.float32)
    plain = np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32)
    both = np.concatenate([plain, strange])
    assert not made.data.insert_many(server.objects(range(5), both)).errors
    found = made.query.near_vector(
        [1.0, 0.0, 0.0], limit=9, return_metadata=MetadataQuery(distance=True)
    ).objects
    far = {each.uuid: each.metadata.distance for each in found}
    assert (far[id_of(0)], far[id_of(1)], far[id_of(4)]) == (0.0, 1.0, 1.0)
    assert math.isnan(far[id_of(2)])
    assert math.isnan(far[id_of(3)])


def test_of_two_lengths_in_a_first_request_one_loses_and_is_kept_and_never_found(
    server: Server,
) -> None:
    made = server.make()
    own: list[list[float]] = [[1, 0, 0], [1, 0], [0, 1, 0]]
    objects = [
        DataObject(properties={"whole": n}, uuid=id_of(n), vector={"default": vector})
        for n, vector in enumerate(own)
    ]
    errors = made.data.insert_many(objects).errors
    assert 1 <= len(errors) <= 2
    assert all("vector lengths don't match" in error.message for error in errors.values())
    assert made.aggregate.over_all(total_count=True).total_count == 3
    kept = [own[n] for n in range(3) if n not in errors]
    found = made.query.near_vector(kept[0], limit=9).objects
    assert {each.uuid for each in found} == {id_of(n) for n in range(3) if n not in errors}


def test_another_length_later_is_refused_and_not_kept(server: Server) -> None:
    made = server.make()
    made.data.insert_many(server.objects([0], vectors(1)))
    with pytest.raises(WeaviateInsertManyAllFailedError, match="vector dimensions do not match"):
        made.data.insert_many(server.objects([1], vectors(1, 1, 8)))
    assert made.aggregate.over_all(total_count=True).total_count == 1
    with pytest.raises(WeaviateQueryError, match=r"32 vs 8: vector lengths don't match"):
        made.query.near_vector(vectors(1, 1, 8)[0].tolist())


def test_an_empty_collection_answers_any_vector_with_nothing(any_server: Server) -> None:
    assert any_server.make().query.near_vector([1.0, 2.0], limit=3).objects == []


def test_an_object_written_without_its_vector_has_none_any_more(server: Server) -> None:
    made = server.make()
    made.data.insert_many(server.objects(range(2), vectors(2)))
    made.data.insert_many([DataObject(properties={"whole": 7}, uuid=id_of(0))])
    found = made.query.near_vector(vectors(1)[0].tolist(), limit=9).objects
    assert [each.uuid for each in found] == [id_of(1)]
    assert made.query.fetch_object_by_id(id_of(0), include_vector=True).vector == {}


@pytest.mark.parametrize(("limit", "offset"), [(10_001, 0), (10_000, 1), (1, 10_000)])
def test_nothing_is_found_beyond_ten_thousand(any_server: Server, limit: int, offset: int) -> None:
    made = any_server.make()
    for ask in (made.query.fetch_objects, lambda **how: made.query.near_vector([1.0], **how)):
        with pytest.raises(WeaviateQueryError, match="QUERY_MAXIMUM_RESULTS '10000'"):
            ask(limit=limit, offset=offset)
    assert made.query.near_vector([1.0], limit=10_000).objects == []
