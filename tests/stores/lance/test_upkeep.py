"""When a Lance table is maintained, and that nothing is lost or missed by it."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.lance.index import LanceIndex
from semilayer_pipelines.stores.lance.store import LanceStore
from semilayer_pipelines.stores.lance.upkeep import (
    Bounds,
    build_indexes,
    is_scattered,
    lacks_index,
    maintain,
)
from semilayer_pipelines.stores.protocol import KEY, SCORE, VECTOR, IndexField, IndexSchema
from semilayer_pipelines.stores.where import parse_where
from tests.stores.objects import ONE_FIELD, names, objects


@pytest.fixture
def lance_index(tmp_path: Path) -> LanceIndex:
    return LanceStore(tmp_path, "development").create("lens-g1", ONE_FIELD)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "development" / "lens-g1.lance"


def _commit(index: LanceIndex, times: int, rows: int = 10, start: int = 0) -> None:
    for number in range(times):
        with index.lock():
            index.upsert(objects(names(rows, start=start + rows * number)))


_DEFAULT = Bounds()


def is_worn(table: Any, folder: Path, bounds: Bounds = _DEFAULT) -> bool:
    return lacks_index(table, bounds) or is_scattered(table, folder, bounds)


def _indexed(table: Any) -> set[str]:
    return {column for index in table.list_indices() for column in index.columns}


def _fragments(index: LanceIndex) -> int:
    return int(index._table.stats()["fragment_stats"]["num_fragments"])


def test_twenty_commits_make_a_table_worn_and_maintenance_makes_it_fresh(
    lance_index: LanceIndex, folder: Path
) -> None:
    _commit(lance_index, 19)
    assert not is_worn(lance_index._table, folder)
    lance_index.maintain()
    assert _fragments(lance_index) == 19

    _commit(lance_index, 1, start=190)
    assert is_worn(lance_index._table, folder)
    lance_index.maintain()

    assert _fragments(lance_index) == 1
    assert not is_worn(lance_index._table, folder)
    assert lance_index.count() == 200


def test_small_commits_beside_the_pages_of_a_full_ingest_are_counted_by_themselves(
    lance_index: LanceIndex, folder: Path
) -> None:
    bounds = Bounds(small_fragments=6, small_fragment_rows=100)
    _commit(lance_index, 6, rows=200)
    _commit(lance_index, 5, start=1_200)
    assert not is_scattered(lance_index._table, folder, bounds)

    _commit(lance_index, 8, start=1_250)

    assert is_scattered(lance_index._table, folder, bounds)


def test_maintenance_of_a_fresh_table_writes_no_version(lance_index: LanceIndex) -> None:
    _commit(lance_index, 3)
    version = lance_index._table.version
    lance_index.maintain()
    assert lance_index._table.version == version


def test_deleted_rows_are_dropped_once_they_are_a_fifth(
    lance_index: LanceIndex, folder: Path
) -> None:
    with lance_index.lock():
        lance_index.add(objects(names(1_000)))
        lance_index.delete(names(150))
    assert not is_worn(lance_index._table, folder)
    with lance_index.lock():
        lance_index.delete(names(60, start=150))
    assert is_worn(lance_index._table, folder)
    lance_index.maintain()
    assert not is_worn(lance_index._table, folder)
    assert lance_index.count() == 790


def test_old_versions_are_kept_an_hour_and_then_cleaned_up(
    lance_index: LanceIndex, folder: Path
) -> None:
    assert Bounds().kept_for >= timedelta(hours=1)
    _commit(lance_index, 15)
    lance_index.maintain(force=True)
    kept = len(list((folder / "_versions").glob("*.manifest")))
    assert kept > 15
    hours_ago = time.time() - 2 * 3600
    for manifest in (folder / "_versions").glob("*.manifest"):
        os.utime(manifest, (hours_ago, hours_ago))

    assert not is_worn(lance_index._table, folder)
    _commit(lance_index, 5, start=200)
    assert is_worn(lance_index._table, folder, Bounds(stale_versions=kept))
    with lance_index.lock():
        maintain(lance_index._table, Bounds(kept_for=timedelta(milliseconds=1)))

    assert len(list((folder / "_versions").glob("*.manifest"))) <= 2
    assert lance_index.count() == 200


def test_a_busy_table_is_not_copied_until_the_disk_is_full(
    lance_index: LanceIndex, folder: Path
) -> None:
    with lance_index.lock():
        lance_index.add(objects(names(5_000)))
    bounds = Bounds(small_fragments=2, copies=2, copies_bytes=0)
    copies = 0
    for number in range(8):
        _commit(lance_index, 2, start=number * 20)
        if is_worn(lance_index._table, folder, bounds):
            with lance_index.lock():
                maintain(lance_index._table, bounds)
            copies += 1
    assert 1 <= copies <= 3

    half_an_hour_ago = time.time() - 1801
    for file in (folder / "data").iterdir():
        os.utime(file, (half_an_hour_ago, half_an_hour_ago))
    assert is_worn(lance_index._table, folder, bounds)


def test_a_grown_table_gets_a_key_index_and_stays_exact(
    lance_index: LanceIndex, folder: Path
) -> None:
    bounds = Bounds(key_index_rows=1_000)
    with lance_index.lock():
        lance_index.add(objects(names(999)))
    assert not is_worn(lance_index._table, folder, bounds)
    _commit(lance_index, 1, rows=1, start=999)
    assert is_worn(lance_index._table, folder, bounds)
    with lance_index.lock():
        maintain(lance_index._table, bounds)
    assert _indexed(lance_index._table) == {KEY}
    assert not is_worn(lance_index._table, folder, bounds)

    # Rows the index knows, rows it does not know yet, and rows it knows no more.
    _commit(lance_index, 1, rows=600, start=700)
    with lance_index.lock():
        assert lance_index.delete([*names(10), *names(10, start=1_290), "absent"]) == 20
    found = lance_index.fetch(names(1_500), vectors=False)
    assert sorted(found[KEY]) == names(1_280, start=10)
    assert sorted(k for frame in lance_index.scan() for k in frame[KEY]) == names(1_280, start=10)


def test_a_large_table_is_searched_by_an_index_that_misses_little_and_nothing_new(
    tmp_path: Path,
) -> None:
    dimension, rows, apart = 32, 20_000, 4_000
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((60, dimension))
    vectors = centres[rng.integers(0, 60, rows)] + 0.6 * rng.standard_normal((rows, dimension))
    vectors = vectors.astype(np.float32)
    # So many apart that Lance trusts the index and does not look at all that pass the filter.
    rare = -np.ones((apart, dimension), dtype=np.float32) + vectors[:apart] / 100
    schema = IndexSchema((IndexField("title", FieldType.TEXT),), dimension)
    index = LanceStore(tmp_path, "development").create("large", schema)
    with index.lock():
        index.add(objects(names(rows), vectors=vectors, dimension=dimension))
        rare_keys = names(apart, start=rows)
        index.add(objects(rare_keys, title="rare", vectors=rare, dimension=dimension))
    queries = vectors[rng.integers(0, rows, 30)] + 0.2 * rng.standard_normal((30, dimension))
    exact = [index.search(query.tolist(), limit=10) for query in queries]

    bounds = Bounds(ann_rows=1_000, ann_partition_rows=100, ann_unindexed_rows=2)
    with index.lock():
        maintain(index._table, bounds)
    assert VECTOR in _indexed(index._table)

    near = [index.search(query.tolist(), limit=10) for query in queries]
    hits = [len(set(a[KEY]) & set(b[KEY])) for a, b in zip(exact, near, strict=True)]
    assert sum(hits) / (10 * len(queries)) >= 0.95
    assert near[0][SCORE][0] == pytest.approx(exact[0][SCORE][0], abs=1e-5)

    # A filter finds rows in partitions that are the last to be probed.
    where = parse_where({"title": "rare"}, ["title"])
    found = index.search([1.0] * dimension, limit=20, where=where)
    assert found.height == 20
    assert found["title"].unique().to_list() == ["rare"]

    # Rows written since are found and deleted ones are not, before and after they are folded in.
    folder = tmp_path / "development" / "large.lance"
    gone, query = near[0][KEY][0], queries[0].tolist()
    fresh = np.array([queries[0], queries[0] * 2], dtype=np.float32)
    with index.lock():
        index.upsert(objects(["fresh-1", "fresh-2"], vectors=fresh, dimension=dimension))
        index.delete([gone])
    for unfolded in (True, False):
        nearest = index.search(query, limit=10)
        assert nearest[KEY].to_list()[:2] == ["fresh-1", "fresh-2"]
        assert nearest[SCORE][0] == pytest.approx(1.0)
        assert gone not in nearest[KEY]
        assert is_worn(index._table, folder, bounds) is unfolded
        with index.lock():
            maintain(index._table, bounds)


def test_a_vector_index_in_many_parts_is_built_anew(lance_index: LanceIndex, folder: Path) -> None:
    bounds = Bounds(ann_rows=300, ann_partition_rows=100, ann_parts=3)
    with lance_index.lock():
        lance_index.add(objects(names(400)))

    parts = []
    for number in range(5):
        _commit(lance_index, 1, start=400 + 10 * number)
        with lance_index.lock():
            maintain(lance_index._table, bounds)
        found = {i.columns[0]: i.num_segments for i in lance_index._table.list_indices()}
        parts.append(found[VECTOR])
        assert is_worn(lance_index._table, folder, bounds) is (found[VECTOR] == 3)

    assert parts == [1, 2, 3, 1, 2]
    assert lance_index.search([1.0] * 8, limit=500).height == 450


def test_pages_of_a_full_ingest_are_left_where_they_lie(
    lance_index: LanceIndex, folder: Path
) -> None:
    # Rewriting them would cost a full ingest a peak of memory and a quarter of its time.
    bounds = Bounds(small_fragment_rows=50, key_index_rows=1_000)
    for number in range(30):
        with lance_index.lock():
            lance_index.add(objects(names(50, start=50 * number)))

    assert is_worn(lance_index._table, folder, bounds)
    with lance_index.lock():
        build_indexes(lance_index._table, bounds)

    assert KEY in _indexed(lance_index._table)
    assert _fragments(lance_index) == 30
    assert not is_worn(lance_index._table, folder, bounds)
