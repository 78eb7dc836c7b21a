"""A search whose vector index does not know all objects finds as many as match all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from semilayer_pipelines.stores import open_store
from semilayer_pipelines.stores.protocol import KEY, SCORE, Index
from semilayer_pipelines.stores.weaviate.ids import object_id
from semilayer_pipelines.stores.where import parse_where
from tests.stores.objects import DIMENSION, ONE_FIELD, names, objects
from tests.weaviate_double.server import Double

QUERY = [1.0] + [0.5] * (DIMENSION - 1)


@pytest.fixture(params=["cosine", "dot", "l2-squared"])
def index(request: pytest.FixtureRequest, double: Double, tmp_path: Path) -> Index:
    """Return an index of 1,500 objects, of which 30 are rare."""
    settings = double.environ | {"WEAVIATE_DISTANCE": request.param}
    made = open_store("weaviate", tmp_path, "development", environ=settings).create(
        "lens-g1", ONE_FIELD
    )
    raw = np.random.default_rng(4).standard_normal((1_500, DIMENSION)).astype(np.float32)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    keys = names(1_500)
    with made.lock():
        made.upsert(objects(keys[:30], title="rare", vectors=unit[:30]))
        made.upsert(objects(keys[30:], vectors=unit[30:]))
    return made


def lose(double: Double, keys: list[str]) -> None:
    """Let the vector index lose objects, as a server that was killed does."""
    (collection,) = double.state.classes.values()
    collection.unsearchable |= {object_id_bytes(key) for key in keys}


def object_id_bytes(key: str) -> bytes:
    from uuid import UUID

    return UUID(object_id(key)).bytes


def found(index: Index, limit: int, **where: object) -> pl.DataFrame:
    query = [number / float(np.linalg.norm(QUERY)) for number in QUERY]
    return index.search(query, limit=limit, where=parse_where(where, ["title"]))


def test_objects_that_the_vector_index_lost_are_found_where_an_answer_would_be_short(
    index: Index, double: Double
) -> None:
    # given
    rare, all_ = found(index, 100, title="rare"), found(index, 2_000)
    nearest = rare[KEY].to_list()[0]
    lose(double, [nearest, *names(5, start=200)])

    # when, then
    again = found(index, 100, title="rare")
    assert again[KEY].to_list() == rare[KEY].to_list()
    assert again[SCORE].to_list() == pytest.approx(rare[SCORE].to_list(), abs=1e-5)
    assert found(index, 30, title="rare").height == 30
    assert sorted(found(index, 2_000)[KEY]) == sorted(all_[KEY])


def test_an_answer_that_is_full_costs_no_second_question(index: Index, double: Double) -> None:
    before = double.faults.calls.get("Aggregate", 0)
    assert found(index, 10).height == 10
    assert double.faults.calls.get("Aggregate", 0) == before
