"""A search finds as many rows as match, up to its limit, though it asks a vector index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.lance.index import LanceIndex
from semilayer_pipelines.stores.lance.store import LanceStore
from semilayer_pipelines.stores.lance.upkeep import Bounds, build_indexes, maintain
from semilayer_pipelines.stores.protocol import KEY, SCORE, VECTOR, IndexField, IndexSchema
from semilayer_pipelines.stores.where import parse_where
from tests.stores.objects import names, objects

ROWS = 12_000
BOUNDS = Bounds(ann_rows=1_000, ann_partition_rows=64, ann_unindexed_rows=10**6)
FIELDS = (
    IndexField("title", FieldType.TEXT),
    IndexField("number", FieldType.NUMBER, integer=True),
)
Where = dict[str, object]


@dataclass(frozen=True)
class Shelf:
    """An index and what is in it; `titles` are texts of very different frequency."""

    index: LanceIndex
    keys: list[str]
    vectors: NDArray[np.float32]
    titles: list[str]

    def exact(self, query: NDArray[np.float32], matches: NDArray[np.bool_]) -> list[str]:
        """Return the keys of the rows that match, the nearest first."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        order = np.argsort(-(unit @ query))
        return [self.keys[row] for row in order if matches[row]]

    def found(self, query: NDArray[np.float32], limit: int, where: Where) -> pl.DataFrame:
        conditions = parse_where(where, ["title", "number"])
        return self.index.search(query.tolist(), limit=limit, where=conditions)


def clustered(rng: np.random.Generator, rows: int, dimension: int) -> NDArray[np.float32]:
    centres = rng.standard_normal((80, dimension))
    near = centres[rng.integers(0, 80, rows)] + 0.6 * rng.standard_normal((rows, dimension))
    return near.astype(np.float32)


def frame(keys: list[str], vectors: NDArray[np.float32], titles: list[str]) -> pl.DataFrame:
    return objects(keys, vectors=vectors, dimension=vectors.shape[1]).with_columns(
        title=pl.Series(titles), number=pl.int_range(len(keys), dtype=pl.Int64)
    )


def shelf_of(folder: Path, dimension: int) -> Shelf:
    """Return 12,000 rows in 187 partitions, of which 40 are `rare`, 300 `odd` and 1 `single`."""
    rng = np.random.default_rng(dimension)
    vectors = clustered(rng, ROWS, dimension)
    titles = np.full(ROWS, "common", dtype=object)
    chosen = rng.permutation(ROWS)
    titles[chosen[:300]], titles[chosen[300:340]], titles[chosen[340]] = "odd", "rare", "single"
    index = LanceStore(folder, "development").create("shelf", IndexSchema(FIELDS, dimension))
    shelf = Shelf(index, names(ROWS), vectors, titles.tolist())
    with index.lock():
        index.add(frame(shelf.keys, vectors, shelf.titles))
        build_indexes(index._table, BOUNDS)
    return shelf


# Lance keeps vectors in four bits only where the dimension is a multiple of eight.
@pytest.fixture(scope="module", params=[16, 20], ids=lambda dimension: f"{dimension} dimensions")
def shelf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return shelf_of(tmp_path_factory.mktemp("shelf"), request.param)


@pytest.fixture(scope="module")
def queries(shelf: Shelf) -> NDArray[np.float32]:
    rng = np.random.default_rng(11)
    beside = clustered(rng, 6, shelf.index.dimension)
    return np.concatenate([beside, -beside[:2]])


@pytest.mark.parametrize("limit", [1, 10, 200, 1_000])
@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ({}, lambda titles, numbers: titles != ""),
        ({"title": "rare"}, lambda titles, numbers: titles == "rare"),
        ({"title": "odd"}, lambda titles, numbers: titles == "odd"),
        ({"title": "single"}, lambda titles, numbers: titles == "single"),
        ({"title": "none"}, lambda titles, numbers: titles == "none"),
        ({"title": {"$ne": "common"}}, lambda titles, numbers: titles != "common"),
        ({"title": ["rare", "odd"]}, lambda titles, numbers: np.isin(titles, ["rare", "odd"])),
        ({"number": {"$lt": 200}}, lambda titles, numbers: numbers < 200),
        ({"number": {"$gte": 100}}, lambda titles, numbers: numbers >= 100),
        (
            {"title": "common", "number": {"$gt": 5_000, "$lt": 5_012}},
            lambda titles, numbers: (titles == "common") & (numbers > 5_000) & (numbers < 5_012),
        ),
    ],
    # A function's own name would be its address, which no two processes share.
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_search_finds_the_limit_or_all_that_match(
    shelf: Shelf,
    queries: NDArray[np.float32],
    where: Where,
    matches: Callable[[NDArray[np.object_], NDArray[np.int64]], NDArray[np.bool_]],
    limit: int,
) -> None:
    matching = matches(np.array(shelf.titles, dtype=object), np.arange(ROWS))
    hits = due = 0
    for query in queries:
        expected = shelf.exact(query, matching)[:limit]

        found = shelf.found(query, limit, where)

        assert found.height == len(expected) == min(limit, int(matching.sum()))
        assert found[KEY].n_unique() == found.height
        assert found[SCORE].is_sorted(descending=True)
        hits += len(set(found[KEY]) & set(expected))
        due += len(expected)
    assert hits >= 0.98 * due


def test_deleted_and_changed_rows_and_those_of_no_index_yet_count_as_they_are(
    tmp_path: Path,
) -> None:
    # given rows under an index, nearly all of which are deleted, one changed, and some new
    shelf = shelf_of(tmp_path, 16)
    kept = names(ROWS)[::400]
    fresh = names(25, start=ROWS)
    rng = np.random.default_rng(5)
    with shelf.index.lock():
        shelf.index.delete([key for key in shelf.keys if key not in set(kept)])
        shelf.index.add(frame(fresh, clustered(rng, 25, 16), ["rare"] * 25))
        shelf.index.upsert(frame(kept[:1], clustered(rng, 1, 16), ["rare"]))
    rare = {key for key in kept if shelf.titles[int(key[4:])] == "rare"} | {*fresh, kept[0]}
    query = clustered(rng, 1, 16)[0]

    def complete() -> None:
        for limit in (3, len(rare), 500):
            assert shelf.found(query, limit, {"title": "rare"}).height == min(limit, len(rare))
        assert set(shelf.found(query, 500, {"title": "rare"})[KEY]) == rare
        assert set(shelf.found(query, 500, {})[KEY]) == {*kept, *fresh}
        assert shelf.found(query, 10, {}).height == 10

    # when it is searched as it is, with the new rows in the index, and after compaction
    complete()
    with shelf.index.lock():
        maintain(shelf.index._table, replace(BOUNDS, ann_unindexed_rows=1))
    complete()

    # then it was an index that was asked
    indexed = {column for each in shelf.index._table.list_indices() for column in each.columns}
    assert VECTOR in indexed


def test_rows_with_one_and_the_same_vector_are_all_found(tmp_path: Path) -> None:
    index = LanceStore(tmp_path, "development").create("same", IndexSchema(FIELDS, 16))
    rng = np.random.default_rng(2)
    same = np.repeat(clustered(rng, 1, 16), 2_000, axis=0)
    with index.lock():
        index.add(frame(names(2_000), same, ["a"] * 1_000 + ["b"] * 1_000))
        build_indexes(index._table, BOUNDS)

    found = index.search(
        same[0].tolist(), limit=1_000, where=parse_where({"title": "b"}, ["title"])
    )

    assert found.height == 1_000
    assert index.search(same[0].tolist(), limit=1_001).height == 1_001
