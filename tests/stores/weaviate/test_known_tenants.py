"""Hundreds of tenants: only those are asked that have the keys, as far as the ledger saw it all."""

from __future__ import annotations

from pathlib import Path

import grpc
import polars as pl
import pytest

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.stores.protocol import KEY, Index, IndexSchema
from tests.stores.objects import DIMENSION, ONE_FIELD, names, objects
from tests.stores.weaviate.doubled import MemoryStamps, collection_of, opened, write
from tests.weaviate_double.faults import Kind
from tests.weaviate_double.server import Double

TENANTS = 12
SCHEMA = IndexSchema(ONE_FIELD.fields, DIMENSION, "title")


@pytest.fixture
def stamps() -> MemoryStamps:
    return MemoryStamps()


@pytest.fixture
def index(double: Double, tmp_path: Path, stamps: MemoryStamps) -> Index:
    index = opened(double, tmp_path, stamps).create("lens-g1", SCHEMA)
    rows = [objects(names(2, 2 * n), title=f"t{n}") for n in range(TENANTS)]
    with index.lock():
        index.add(pl.concat(rows))
    return index


def calls(double: Double) -> dict[str, int]:
    """Return how often each verb was called since the last time."""
    told = dict(double.faults.calls)
    double.faults.calls.clear()
    return told


def homes(double: Double, key: str) -> list[str]:
    """Return the tenants that have an object of a key."""
    parts = collection_of(double).tenants.items()
    return [
        name
        for name, part in parts
        if any(each.properties["_key"] == key for each in part.objects.values())
    ]


def test_only_tenants_that_have_the_keys_are_asked(double: Double, index: Index) -> None:
    calls(double)
    assert index.fetch(names(2)).height == 2
    assert index.get("key-000005") is not None
    assert calls(double) == {"Search": 2}

    write(index, objects(names(2), title="t0"))
    assert calls(double) == {"Search": 1, "BatchObjects": 1}

    with index.lock():
        assert index.delete(["key-000003", "never there"]) == 1
    assert calls(double) == {"BatchDelete": 1}


def test_a_row_that_moves_leaves_its_old_tenant_in_the_same_write(
    double: Double, index: Index
) -> None:
    calls(double)
    write(index, objects(["key-000000"], title="t7"))
    assert homes(double, "key-000000") == ["t7"]
    assert calls(double) == {"Search": 1, "BatchObjects": 1, "BatchDelete": 1}
    write(index, objects(["key-000000"], title="brand-new"))
    assert homes(double, "key-000000") == ["brand-new"]


def test_what_another_machine_moved_is_found_wherever_it_is(
    double: Double, index: Index, tmp_path: Path, stamps: MemoryStamps
) -> None:
    elsewhere = opened(double, tmp_path / "elsewhere", stamps).open("lens-g1")
    write(elsewhere, objects(["key-000000"], title="t7"))
    write(index, objects(["key-000000"], title="t3"))
    assert homes(double, "key-000000") == ["t3"]
    with elsewhere.lock():
        assert elsewhere.delete(["key-000000"]) == 1
    assert homes(double, "key-000000") == []


def test_a_write_that_was_not_noted_makes_it_ask_all_until_sums_prove_it(
    double: Double, index: Index
) -> None:
    # given a row that is in two tenants, as a writer left it that died
    double.faults.add("BatchDelete", Kind.STATUS, times=99, code=grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(StoreUnavailable):
        write(index, objects(["key-000000"], title="t7"))
    double.faults.waiting.clear()
    assert sorted(homes(double, "key-000000")) == ["t0", "t7"]

    # then the next write of it leaves one, in whatever tenant it is
    write(index, objects(["key-000000"], title="t9"))
    assert homes(double, "key-000000") == ["t9"]

    # and once a scan has read it all, the ledger is enough again
    assert sum(frame.height for frame in index.scan()) == 2 * TENANTS
    calls(double)
    assert index.fetch(names(2)).height == 2
    assert calls(double).get("Search", 0) == 2  # key-000001 is in t0, the other in t9


def test_a_scan_reads_only_the_tenants_of_which_the_ledger_does_not_know_all(
    double: Double, index: Index
) -> None:
    part = collection_of(double).tenants["t4"]
    part.remove(next(iter(part.objects)))
    calls(double)
    assert sum(frame.height for frame in index.scan()) == 2 * TENANTS - 1
    assert calls(double)["Search"] == 2  # a page, and one that says that there is no more
    assert index.count() == 2 * TENANTS - 1


def test_a_tenant_that_a_person_removed_is_not_in_a_scan(double: Double, index: Index) -> None:
    del collection_of(double).tenants["t4"]
    keys = sorted(key for frame in index.scan() for key in frame[KEY])
    assert keys == [key for key in names(2 * TENANTS) if key not in names(2, 8)]
    assert sorted(key for frame in index.scan() for key in frame[KEY]) == keys


def test_without_stamps_every_tenant_is_asked(double: Double, tmp_path: Path) -> None:
    index = opened(double, tmp_path).create("lens-g1", SCHEMA)
    with index.lock():
        index.add(pl.concat([objects([f"k{n}"], title=f"t{n}") for n in range(4)]))
    calls(double)
    index.fetch(["k1"])
    assert calls(double)["Search"] == 4
