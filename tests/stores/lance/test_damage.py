"""Files that came to harm: damage to a table is told with the cure, a broken index is mended."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from semilayer_pipelines.errors import IndexDamaged, NotFound, StoreFull, StoreUnavailable
from semilayer_pipelines.stores.lance.errors import store_errors
from semilayer_pipelines.stores.lance.index import LanceIndex
from semilayer_pipelines.stores.lance.store import LanceStore
from semilayer_pipelines.stores.lance.upkeep import Bounds, broken_indexes, build_indexes
from semilayer_pipelines.stores.protocol import KEY, VECTOR
from tests.damage import BROKEN_INDEXES, LOST, UNREADABLE, Harm
from tests.stores.objects import DIMENSION, ONE_FIELD, names, objects

QUERY = [1.0] * DIMENSION


@pytest.fixture
def store(tmp_path: Path) -> LanceStore:
    return LanceStore(tmp_path, "development")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "development" / "lens-g1.lance"


def filled(store: LanceStore) -> LanceIndex:
    """Return an index of 600 rows under both indexes, and 100 that came after them."""
    index = store.create("lens-g1", ONE_FIELD)
    with index.lock():
        index.add(objects(names(600)))
        bounds = Bounds(key_index_rows=300, ann_rows=300, ann_partition_rows=100)
        build_indexes(index._table, bounds)
        index.add(objects(names(100, start=600)))
    return index


@pytest.mark.parametrize("harm", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_table_that_cannot_be_read_is_told_with_the_cure(
    store: LanceStore, table: Path, harm: Harm
) -> None:
    filled(store)
    harm(table)

    with pytest.raises(IndexDamaged) as found:
        list(store.open("lens-g1").scan())

    assert "lens-g1" in found.value.message
    assert "semilayer verify --heal" in found.value.cure


@pytest.mark.parametrize("harm", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_damaged_table_can_be_dropped(store: LanceStore, table: Path, harm: Harm) -> None:
    filled(store)
    harm(table)

    store.drop("lens-g1")

    assert not store.exists("lens-g1")
    assert not table.exists()


@pytest.mark.parametrize("harm", LOST.values(), ids=LOST.keys())
def test_a_lost_table_does_not_exist_and_can_be_made_again(
    store: LanceStore, table: Path, harm: Harm
) -> None:
    filled(store)
    harm(table)

    assert not store.exists("lens-g1")
    with pytest.raises(NotFound):
        store.open("lens-g1")
    assert store.create("lens-g1", ONE_FIELD).count() == 0


@pytest.mark.parametrize("harm", BROKEN_INDEXES.values(), ids=BROKEN_INDEXES.keys())
def test_rows_are_found_by_key_and_by_vector_though_the_indexes_are_broken(
    store: LanceStore, table: Path, harm: Harm
) -> None:
    index = filled(store)
    expected = index.search(QUERY, limit=700)
    harm(table)

    index = store.open("lens-g1")

    assert index.get("key-000007") is not None
    assert index.get("absent") is None
    assert index.fetch(names(20, start=590))[KEY].sort().to_list() == names(20, start=590)
    assert index.search(QUERY, limit=700).equals(expected)


@pytest.mark.parametrize("harm", BROKEN_INDEXES.values(), ids=BROKEN_INDEXES.keys())
def test_writing_and_upkeep_mend_broken_indexes(store: LanceStore, table: Path, harm: Harm) -> None:
    filled(store)
    harm(table)
    index = store.open("lens-g1")

    with index.lock():
        index.upsert(objects(names(10), title="other"))
        assert index.delete(names(5, start=300)) == 5
    index.maintain(force=True)

    assert broken_indexes(index._table) == []
    assert index.count() == 695
    found = index.search(QUERY, limit=1_000)
    assert found.height == 695
    assert found["title"].value_counts().sort("count")["count"].to_list() == [10, 685]


def test_upkeep_alone_drops_an_index_that_cannot_be_asked(store: LanceStore, table: Path) -> None:
    filled(store)
    BROKEN_INDEXES["gone"](table)
    index = store.open("lens-g1")
    assert len(broken_indexes(index._table)) == 2

    index.maintain()

    columns = {column for each in index._table.list_indices() for column in each.columns}
    assert columns & {KEY, VECTOR} == set()


@pytest.mark.parametrize(
    ("number", "reading", "expected"),
    [
        (errno.ENOSPC, False, StoreFull),
        (errno.EACCES, False, StoreFull),
        (errno.EACCES, True, IndexDamaged),
        (errno.EIO, True, IndexDamaged),
        (errno.EMFILE, True, StoreUnavailable),
        (errno.ENOMEM, False, StoreUnavailable),
        (errno.ESTALE, True, StoreUnavailable),
    ],
)
def test_what_the_system_says_decides_whether_it_may_pass(
    number: int, reading: bool, expected: type[Exception]
) -> None:
    said = f"lance error: LanceError(IO): Generic LocalFileSystem error: x (os error {number})"
    for error in (RuntimeError(said), OSError(number, "x")):
        with pytest.raises(expected), store_errors("index x", reading=reading):
            raise error


def test_files_that_this_user_may_not_read_are_told_with_that_cure() -> None:
    said = "lance error: LanceError(IO): Permission denied (os error 13)"
    with pytest.raises(IndexDamaged) as found, store_errors("index x", reading=True):
        raise RuntimeError(said)
    assert "Make them readable" in found.value.cure


def test_a_fault_of_ours_in_a_write_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="more than once"), store_errors("index x"):
        raise ValueError("keys more than once")
