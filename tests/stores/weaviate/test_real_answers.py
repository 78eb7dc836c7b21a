"""Answers of a real server that are easily taken for something else, each given by the double."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from semilayer_pipelines.errors import (
    ConfigError,
    NotFound,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import Index, IndexSchema, Store
from semilayer_pipelines.stores.weaviate import writes
from tests.stores.objects import DIMENSION, ONE_FIELD, names, objects
from tests.weaviate_double.server import Double

ENV = "development"
BY_TITLE = IndexSchema(ONE_FIELD.fields, DIMENSION, tenant="title")


def opened(double: Double, folder: Path, **settings: str) -> Store:
    return open_store("weaviate", folder, ENV, environ=double.environ | settings)


def filled(double: Double, folder: Path, schema: IndexSchema = ONE_FIELD) -> Index:
    index = opened(double, folder).create("lens-g1", schema)
    with index.lock():
        index.upsert(objects(names(3), title="acme"))
    return index


def test_a_delete_from_a_read_only_store_says_that_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server answers no error: as many match as before, none was deleted, one failed.
    with Double.serving() as double:
        index = filled(double, tmp_path)
        double.state.run_out_of_room()
        # It waits for nothing.
        monkeypatch.setattr(writes, "time", SimpleNamespace(sleep=pytest.fail))
        with index.lock(), pytest.raises(StoreFull):
            index.delete(names(1))


@pytest.mark.parametrize("permission", ["update_data", "create_data"])
def test_a_permission_to_write_that_is_missing_is_no_fault_of_the_rows(
    tmp_path: Path, permission: str
) -> None:
    # The server answers with an error for each object, and a status of 0.
    with Double.serving(denied={permission}) as double:
        index = opened(double, tmp_path).create("lens-g1", ONE_FIELD)
        with index.lock(), pytest.raises(StoreRefused, match=permission):
            index.upsert(objects(names(3)))


def test_an_index_with_tenants_that_may_not_be_listed_does_not_look_empty(tmp_path: Path) -> None:
    # The server leaves out what a role may not see, and says nothing of it.
    with Double.serving(denied={"read_tenants"}) as double:
        index = opened(double, tmp_path).create("lens-g1", BY_TITLE)
        with pytest.raises(StoreRefused, match="read_tenants"):
            list(index.scan())
        with pytest.raises(StoreRefused, match="read_tenants"):
            index.count()


def test_an_index_that_is_dropped_in_the_middle_of_a_write_is_gone_not_poison(
    tmp_path: Path,
) -> None:
    # The server answers "class '…' not present in schema" for each object.
    with Double.serving() as double:
        index = filled(double, tmp_path)
        with index.lock():
            double.state.drop("Development_lens_g1")
            with pytest.raises(NotFound, match="was dropped"):
                index.upsert(objects(["a"]))


def test_an_index_with_tenants_that_was_dropped_is_gone(tmp_path: Path) -> None:
    # The server answers "could not get tenants: class not found", without a name.
    with Double.serving() as double:
        index = filled(double, tmp_path, BY_TITLE)
        double.state.drop("Development_lens_g1")
        with pytest.raises(NotFound, match="was dropped"):
            index.count()


def test_a_name_that_is_taken_by_a_collection_is_no_outage(tmp_path: Path) -> None:
    # The server answers 500.
    with Double.serving() as double:
        filled(double, tmp_path)
        with double.state.lock:
            double.state.create({"class": "Development_lens", "properties": []})
        with pytest.raises(ConfigError, match="Development_lens"):
            opened(double, tmp_path).point("lens", "lens-g1")


def test_a_key_that_was_taken_back_is_refused_and_not_tried_again(tmp_path: Path) -> None:
    # The server answers UNKNOWN over gRPC, not UNAUTHENTICATED.
    with Double.serving(api_key="right-key") as double:
        store = opened(double, tmp_path, WEAVIATE_API_KEY="right-key")
        index = store.create("lens-g1", ONE_FIELD)
        double.take_keys_back()
        with pytest.raises(StoreRefused, match="WEAVIATE_API_KEY"):
            index.count()


@pytest.mark.parametrize("schema", [ONE_FIELD, BY_TITLE], ids=["plain", "tenants"])
def test_an_index_that_is_still_being_built_is_waited_for(
    tmp_path: Path, schema: IndexSchema
) -> None:
    # The size of the queue that the shards tell is always 0; only their status and the nodes know.
    with Double.serving(async_indexing=True) as double:
        double.state.indexing_s = 1.0
        index = filled(double, tmp_path, schema)
        index.settle()
        assert not any(shard.waiting() for shard in double.state.shards())


def test_an_index_that_stands_still_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with Double.serving(async_indexing=True) as double:
        index = filled(double, tmp_path)
        for shard in double.state.shards():
            shard.stuck = True
        with pytest.raises(StoreUnavailable, match="3 vectors wait"):
            index.settle(patience_s=0.5)  # type: ignore[call-arg]
