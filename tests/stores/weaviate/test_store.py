"""The traps of Weaviate and its client, each on a server double that sets it."""

from __future__ import annotations

import operator
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import polars as pl
import pytest

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import (
    DimensionChanged,
    IndexDropped,
    ObjectsRejected,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from semilayer_pipelines.stores.protocol import KEY, Index, IndexField, IndexSchema, Store
from semilayer_pipelines.stores.weaviate import writes
from semilayer_pipelines.stores.weaviate.errors import Fault, fault_of
from semilayer_pipelines.stores.weaviate.ids import object_id
from tests.patience import PATIENCE_SECONDS
from tests.stores.objects import DIMENSION, ONE_FIELD, names, objects, vector_of
from tests.stores.weaviate.doubled import keys_of, opened, write
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double
from tests.weaviate_double.state import Stored

NUMBERS = IndexSchema(
    (
        IndexField("ratio", FieldType.NUMBER),
        IndexField("ratios", FieldType.NUMBER, array=True),
        IndexField("big", FieldType.NUMBER, integer=True),
    ),
    DIMENSION,
)


@pytest.fixture
def store(double: Double, tmp_path: Path) -> Store:
    return opened(double, tmp_path)


@pytest.fixture
def index(store: Store) -> Index:
    return store.create("lens-g1", ONE_FIELD)


def test_a_collection_is_declared_in_full(double: Double, store: Store) -> None:
    store.create("lens-g1", ONE_FIELD)
    config = double.state.classes["Development_lens_g1"].config
    assert config["vectorConfig"]["default"]["vectorizer"] == {"none": {}}
    assert config["vectorConfig"]["default"]["vectorIndexConfig"]["distance"] == "cosine"
    declared = {each["name"]: each for each in config["properties"]}
    assert declared["title"]["tokenization"] == "field"
    assert not any(each["indexSearchable"] for each in declared.values())
    assert not declared[KEY]["indexFilterable"]


def test_how_new_collections_are_indexed_can_be_set(double: Double, tmp_path: Path) -> None:
    store = opened(
        double,
        tmp_path,
        WEAVIATE_INDEX="flat",
        WEAVIATE_DISTANCE="dot",
        WEAVIATE_QUANTIZATION="bq",
        WEAVIATE_REPLICATION="3",
    )
    store.create("lens-g1", ONE_FIELD)
    config = double.state.classes["Development_lens_g1"].config
    vector = config["vectorConfig"]["default"]
    assert vector["vectorIndexType"] == "flat"
    assert vector["vectorIndexConfig"]["distance"] == "dot"
    assert config["replicationConfig"]["factor"] == 3


@pytest.mark.parametrize("distance", ["cosine", "dot", "l2-squared"])
def test_a_score_is_the_cosine_whatever_the_collection_measures(
    double: Double, tmp_path: Path, distance: str
) -> None:
    store = opened(double, tmp_path, WEAVIATE_DISTANCE=distance)
    vectors = np.zeros((2, DIMENSION), dtype=np.float32)
    vectors[0, 0], vectors[1, 0], vectors[1, 1] = 1.0, 0.6, 0.8
    write(store.create("lens-g1", ONE_FIELD), objects(["same", "near"], vectors=vectors))
    # Opened by somebody whose settings say otherwise: the collection knows better.
    found = opened(double, tmp_path).open("lens-g1").search([1.0] + [0.0] * 7, limit=2)
    assert found["_score"].to_list() == pytest.approx([1.0, 0.6], abs=1e-6)


def test_writes_are_cut_by_count_and_by_bytes(double: Double, store: Store, index: Index) -> None:
    write(index, objects(names(1_200)))
    assert double.faults.calls["BatchObjects"] == 3
    write(index, objects(names(6), title="x" * 3_000_000))
    assert double.faults.calls["BatchObjects"] == 3 + 3
    assert index.count() == 1_200


def test_a_row_too_large_for_a_request_is_rejected_alone(index: Index) -> None:
    large = objects(["large"], title="x" * 100_000_000)
    with index.lock(), pytest.raises(ObjectsRejected, match="larger than") as rejected:
        index.upsert(pl.concat([objects(["a"]), large, objects(["b"])]))
    assert (rejected.value.written, list(rejected.value.reasons)) == (2, ["large"])
    assert keys_of(index) == ["a", "b"]


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.APPLIED, Kind.RESET, Kind.APPLIED_RESET])
def test_a_write_whose_answer_is_lost_is_there_once(
    double: Double, index: Index, kind: Kind
) -> None:
    double.faults.add("BatchObjects", kind)
    assert write(index, objects(names(600))) == 600
    assert keys_of(index) == names(600)


def test_a_request_that_takes_too_long_is_sent_again(double: Double, tmp_path: Path) -> None:
    store = opened(double, tmp_path, WEAVIATE_INSERT_TIMEOUT="0.3")
    index = store.create("lens-g1", ONE_FIELD)
    double.faults.add("BatchObjects", Kind.DELAY, seconds=1.0)
    assert write(index, objects(["a"])) == 1
    assert keys_of(index) == ["a"]


def test_objects_that_fail_for_the_stores_reasons_are_sent_again_and_only_those(
    double: Double, index: Index
) -> None:
    double.faults.add("BatchObjects", Kind.OBJECTS, keys=frozenset({"b"}), text="leader not found")
    assert write(index, objects(["a", "b", "c"])) == 3
    assert keys_of(index) == ["a", "b", "c"]
    assert double.faults.calls["BatchObjects"] == 2


def test_poison_is_named_with_its_reason_and_everything_else_is_written(
    double: Double, index: Index
) -> None:
    double.faults.add(
        "BatchObjects", Kind.OBJECTS, times=99, keys=frozenset({"b"}), text="invalid text property"
    )
    with index.lock(), pytest.raises(ObjectsRejected) as rejected:
        index.upsert(objects(["a", "b", "c"]))
    assert rejected.value.reasons == {"b": "invalid text property"}
    assert rejected.value.written == 2
    assert keys_of(index) == ["a", "c"]


def test_a_read_only_store_is_full_at_once(
    double: Double, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.state.run_out_of_room()
    with monkeypatch.context() as patch, index.lock():
        # It waits for nothing.
        patch.setattr(writes, "time", SimpleNamespace(sleep=pytest.fail, time_ns=time.time_ns))
        with pytest.raises(StoreFull, match="read-only"):
            index.upsert(objects(["a"]))
    double.state.make_room()
    assert write(index, objects(["a"])) == 1


def test_no_permission_is_no_bad_weather(double: Double, index: Index) -> None:
    denied = grpc.StatusCode.PERMISSION_DENIED
    double.faults.add("BatchObjects", Kind.STATUS, code=denied)
    with index.lock(), pytest.raises(StoreRefused, match="PERMISSION_DENIED"):
        index.upsert(objects(["a"]))
    assert double.faults.calls["BatchObjects"] == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("put object: store is read-only", Fault.FULL),
        ("not enough memory to perform the operation", Fault.FULL),
        ("vector lengths don't match: 8 vs 9", Fault.DIMENSION),
        ("could not find class A in schema", Fault.GONE),
        ("leader not found", Fault.TROUBLE),
        ("context deadline exceeded", Fault.TROUBLE),
        ("cannot achieve consistency level QUORUM", Fault.TROUBLE),
        ("rpc error: code = Unavailable desc = transport is closing", Fault.TROUBLE),
        ("invalid date property 'a' on class 'B'", Fault.POISON),
        ("no such prop with name 'a' found in class 'B' in the schema", Fault.POISON),
    ],
)
def test_the_servers_sentences_are_told_apart(text: str, fault: Fault) -> None:
    assert fault_of(text) is fault


def test_what_no_json_number_can_be_is_set_aside_and_the_rest_written(store: Store) -> None:
    index = store.create("numbers", NUMBERS)
    frame = objects(["nan", "inf", "in a list", "fine"]).drop("title")
    frame = frame.with_columns(
        ratio=pl.Series([float("nan"), float("inf"), 1.0, 2.0]),
        ratios=pl.Series([[], None, [1.0, float("nan")], [0.5, None]], dtype=pl.List(pl.Float64)),
        big=pl.Series([1, 2, 3, 4], dtype=pl.Int64),
    )
    with index.lock(), pytest.raises(ObjectsRejected) as rejected:
        index.upsert(frame)
    assert set(rejected.value.reasons) == {"nan", "inf", "in a list"}
    assert "field ratio" in rejected.value.reasons["nan"]
    fine = index.get("fine")
    assert fine is not None
    assert (fine["ratio"], fine["ratios"], fine["big"]) == (2.0, [0.5], 4)


def test_integers_that_a_double_cannot_hold_travel_as_text(double: Double, store: Store) -> None:
    index = store.create("numbers", NUMBERS)
    numbers = [2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 0]
    keys = [str(number) for number in numbers]
    frame = (
        objects(keys)
        .drop("title")
        .with_columns(
            ratio=pl.lit(None, pl.Float64),
            ratios=pl.lit(None, pl.List(pl.Float64)),
            big=pl.Series(numbers, dtype=pl.Int64),
        )
    )
    write(index, frame)
    assert [index.get(key)["big"] for key in keys] == numbers  # type: ignore[index]
    kept = double.state.classes["Development_numbers"].objects
    exact = {each.properties["_key"]: each.properties.get("_exact_big_") for each in kept.values()}
    assert exact["9007199254740991"] is None
    assert exact["9007199254740993"] == "0009007199254740993"


@pytest.mark.parametrize(
    "bound", [0, 5, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), -(2**53) - 2, 2**63 - 1, -(2**63)]
)
def test_integers_of_any_size_compare_as_integers(store: Store, bound: int) -> None:
    from semilayer_pipelines.stores.where import parse_where

    index = store.create("numbers", NUMBERS)
    edge = (0, 5, 2**53, 2**63 - 1)
    numbers = sorted({sign * n + d for n in edge for sign in (1, -1) for d in (-2, -1, 0, 1, 2)})
    numbers = [n for n in numbers if -(2**63) <= n < 2**63]
    frame = (
        objects([str(n) for n in numbers])
        .drop("title")
        .with_columns(
            ratio=pl.lit(None, pl.Float64),
            ratios=pl.lit(None, pl.List(pl.Float64)),
            big=pl.Series(numbers, dtype=pl.Int64),
        )
    )
    write(index, frame)
    for name, holds in {
        "$eq": operator.eq,
        "$ne": operator.ne,
        "$gt": operator.gt,
        "$gte": operator.ge,
        "$lt": operator.lt,
        "$lte": operator.le,
    }.items():
        where = parse_where({"big": {name: bound}}, ["big"])
        found = index.search([1.0] * DIMENSION, limit=100, where=where)
        assert sorted(map(int, found[KEY])) == [n for n in numbers if holds(n, bound)], name


def test_a_scan_goes_past_the_servers_ten_thousand_and_on_from_where_it_was_cut(
    double: Double, index: Index
) -> None:
    collection = double.state.classes["Development_lens_g1"]
    keys = names(12_345)
    for key in keys:
        own = {"_key": key, "_row_hash": "00" * 16, "_text_hash": "00" * 16, "_shard": 0}
        collection.put(uuid.UUID(object_id(key)).bytes, Stored(own, vector_of(1), 0))
    frames = index.scan()
    first = next(frames)
    double.faults.add("Search", Kind.STATUS, times=2)
    rest = list(frames)
    assert max(frame.height for frame in [first, *rest]) <= 5_000
    assert sorted(pl.concat([first, *rest])[KEY]) == keys


def test_a_delete_goes_on_until_nothing_matches(double: Double, index: Index) -> None:
    write(index, objects(names(64)))
    double.faults.add("BatchDelete", Kind.PARTIAL, times=3)
    with index.lock():
        assert index.delete(names(40)) == 40
    assert keys_of(index) == names(24, start=40)
    double.faults.add("BatchDelete", Kind.APPLIED)
    with index.lock():
        index.delete(names(10, start=40))
    assert index.count() == 14


def test_who_may_not_read_the_queues_waits_until_what_was_written_last_is_found(
    double: Double, store: Store
) -> None:
    index = store.create("lens-g1", ONE_FIELD)
    write(index, objects(names(20)))
    collection = double.state.classes["Development_lens_g1"]
    double.role.denied = frozenset({"read_nodes", "read_tenants"})

    # given objects that no search finds yet
    collection.unsearchable = set(collection.objects)
    with pytest.raises(StoreUnavailable, match="20 vectors wait"):
        index.settle(patience_s=0.05)  # type: ignore[call-arg]

    # when they are found one after the other
    def take_in() -> None:
        while collection.unsearchable:
            time.sleep(0.1)
            collection.unsearchable.pop()

    taking = threading.Thread(target=take_in)
    taking.start()
    index.settle(patience_s=PATIENCE_SECONDS)  # type: ignore[call-arg]

    # then none is left, and an empty index is waited for by nobody
    assert not collection.unsearchable
    taking.join()
    store.create("lens-g2", ONE_FIELD).settle()


@pytest.mark.parametrize("denied", [(), ("read_nodes",), ("read_nodes", "read_tenants")])
def test_an_index_that_is_dropped_while_it_settles_is_gone(
    double: Double, store: Store, denied: tuple[str, ...]
) -> None:
    index = store.create("lens-g1", ONE_FIELD)
    double.role.denied = frozenset(denied)
    double.state.drop("Development_lens_g1")
    with pytest.raises(IndexDropped):
        index.settle()


@pytest.mark.parametrize("level", ["one", "all"])
def test_as_many_copies_as_was_chosen_are_asked_for_reads_and_writes(
    double: Double, tmp_path: Path, level: str
) -> None:
    index = opened(double, tmp_path, WEAVIATE_CONSISTENCY=level).create("lens-g1", ONE_FIELD)
    write(index, objects(["a"]))
    index.search(vector_of(1).tolist(), limit=1)
    with index.lock():
        index.delete(["a"])
    assert double.faults.levels == {level.upper()}


def test_an_object_is_written_whole_its_vector_included(double: Double, index: Index) -> None:
    write(index, objects(["a"], title="old"))
    write(index, objects(["a"], title="new"))
    (kept,) = double.state.classes["Development_lens_g1"].objects.values()
    assert kept.properties["title"] == "new"
    assert kept.vector is not None


def test_vectors_of_another_length_are_no_poison(double: Double, index: Index) -> None:
    double.state.classes["Development_lens_g1"].dimension = DIMENSION + 1
    with index.lock(), pytest.raises(DimensionChanged):
        index.upsert(objects(["a"]))
