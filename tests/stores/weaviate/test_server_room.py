"""What a bare server without room refuses, and how it comes back by itself."""

from __future__ import annotations

import pytest
from weaviate.classes.query import Filter
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from tests.stores.weaviate.bare import Server, id_of, vectors

FULL = "store is read-only due to: resource pressure"


def test_a_server_without_room_refuses_each_object_and_takes_them_again_by_itself(
    any_server: Server,
) -> None:
    made = any_server.make()
    own = vectors(4)
    made.data.insert_many(any_server.objects(range(3), own[:3]))
    with any_server.out_of_room():
        with pytest.raises(WeaviateInsertManyAllFailedError, match=FULL):
            made.data.insert_many(any_server.objects([3], own[3:]))
        (shard,) = any_server.told(f"/schema/{made.name}/shards")
        assert shard["status"] == "READONLY"
        # Nobody says that a delete failed: it is in the numbers alone, once for the shard.
        for doomed, matching in ((range(2), 2), ([99], 0)):
            ids = [id_of(number) for number in doomed]
            told = made.data.delete_many(where=Filter.by_id().contains_any(ids))
            assert (told.matches, told.successful, told.failed) == (matching, 0, 1)
        late = {"name": "late", "dataType": ["text"]}
        status, said = any_server.ask("POST", f"/schema/{made.name}/properties", late)
        assert (status, FULL in said) == (422, True)
        # Reads go on, and what is made now is writable.
        assert made.aggregate.over_all(total_count=True).total_count == 3
        assert len(made.query.near_vector(own[0].tolist(), limit=9).objects) == 3
        other = any_server.make("other")
        assert not other.data.insert_many(any_server.objects([0], own[:1])).errors
    # Nobody has to set anything to READY.
    (shard,) = any_server.told(f"/schema/{made.name}/shards")
    assert shard["status"] == "READY"
    assert not made.data.insert_many(any_server.objects([3], own[3:])).errors
