"""What every store must do with a search: order, scores and filters of every type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores.protocol import (
    KEY,
    ROW_HASH,
    SCORE,
    TEXT_HASH,
    VECTOR,
    Index,
    IndexField,
    IndexSchema,
)
from semilayer_pipelines.stores.where import parse_where
from tests.stores.conftest import Place
from tests.stores.objects import DIMENSION, objects

FIELDS = (
    IndexField("title", FieldType.TEXT),
    IndexField("Title", FieldType.TEXT),
    IndexField("section", FieldType.ENUM),
    IndexField("order", FieldType.NUMBER),
    IndexField("score", FieldType.NUMBER, integer=True),
    IndexField("isOpen", FieldType.BOOLEAN),
    IndexField("madeAt", FieldType.DATE),
    IndexField("raw", FieldType.JSON),
    IndexField("tags", FieldType.TEXT, array=True),
    IndexField("sizes", FieldType.NUMBER, array=True, integer=True),
    IndexField("shares", FieldType.NUMBER, array=True),
    IndexField("days", FieldType.DATE, array=True),
)
MANY = 60_000
"""Values of a list that the webhook takes, as texts; of numbers it takes three times as many."""

DAY = [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.fixture(scope="module")
def shelf(shared_place: Place) -> Index:
    """Return an index of a, b, c with growing values, and z with none; for reading only."""
    index = shared_place.open().create("shelf", IndexSchema(FIELDS, DIMENSION))
    dates = pl.Datetime("us", "UTC")
    columns = {
        "title": pl.Series(["it's", "b", "", None], dtype=pl.String),
        "Title": pl.Series(["A", "B", "C", None], dtype=pl.String),
        "section": pl.Series(["web", "web", "db", None], dtype=pl.String),
        "order": pl.Series([-1.5, 2.0, 1e300, None], dtype=pl.Float64),
        "score": pl.Series([-5, 5, 2**53 + 1, None], dtype=pl.Int64),
        "isOpen": pl.Series([True, False, True, None], dtype=pl.Boolean),
        "madeAt": pl.Series([*DAY, None], dtype=dates),
        "raw": pl.Series(['{"a":1}', "[]", "null", None], dtype=pl.String),
        "tags": pl.Series([["x", "it's"], ["y"], [], None], dtype=pl.List(pl.String)),
        "sizes": pl.Series([[1, 2], [2, 3], [], None], dtype=pl.List(pl.Int64)),
        "shares": pl.Series([[0.0], [-0.0, 1.5], [], None], dtype=pl.List(pl.Float64)),
        "days": pl.Series([DAY[:2], DAY[2:], [], None], dtype=pl.List(dates)),
    }
    frame = objects(["a", "b", "c", "z"]).drop("title").with_columns(**columns)
    with index.lock():
        index.upsert(frame)
    return index


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "abcz"),
        ({"title": "it's"}, "a"),
        ({"title": "A"}, ""),
        ({"Title": "A"}, "a"),
        ({"title": "' OR 1=1 --"}, ""),
        ({"title": {"$gt": "b"}}, "a"),
        ({"section": "web"}, "ab"),
        ({"section": {"$ne": "web"}}, "cz"),
        ({"section": ["db", "web"]}, "abc"),
        ({"section": []}, ""),
        ({"section": {"$nin": []}}, "abcz"),
        ({"section": {"$nin": ["db"]}}, "abz"),
        ({"section": "web", "isOpen": True}, "a"),
        ({"order": -1.5}, "a"),
        ({"order": {"$gte": 2}}, "bc"),
        ({"order": {"$lt": 1e300}}, "ab"),
        ({"order": {"$gt": -2, "$lt": 3}}, "ab"),
        ({"score": 5}, "b"),
        ({"score": 5.0}, "b"),
        ({"score": 4.5}, ""),
        ({"score": {"$ne": 4.5}}, "abcz"),
        ({"score": {"$gt": 4.5}}, "bc"),
        ({"score": {"$lte": 10**30}}, "abc"),
        ({"score": 2**53 + 1}, "c"),
        ({"score": 2**53}, ""),
        ({"score": [5, 6.5, -5]}, "ab"),
        ({"score": {"$gte": -(2**63)}}, "abc"),
        ({"isOpen": False}, "b"),
        ({"isOpen": {"$ne": False}}, "acz"),
        ({"madeAt": "2026-01-02"}, "b"),
        ({"madeAt": {"$gte": "2026-01-02T01:00:00+01:00"}}, "bc"),
        ({"madeAt": {"$lt": "2026-01-03T00:00:00Z"}}, "ab"),
        ({"madeAt": ["2026-01-01", "2026-01-03"]}, "ac"),
        ({"raw": '{"a":1}'}, "a"),
        ({"tags": "it's"}, "a"),
        ({"tags": ["x", "y"]}, "ab"),
        ({"tags": {"$ne": "x"}}, "bcz"),
        ({"tags": {"$nin": ["x", "y"]}}, "cz"),
        ({"sizes": 2}, "ab"),
        ({"sizes": 2.5}, ""),
        ({"days": "2026-01-03"}, "b"),
        ({"title": None}, "cz"),
        ({"title": {"$ne": None}}, "ab"),
        ({"tags": {"$empty": True}}, "cz"),
        ({"tags": {"$empty": False}}, "ab"),
        ({"score": {"$empty": True}}, "z"),
        ({"madeAt": {"$empty": False}}, "abc"),
        # The empty text is an empty field, in every store and under every operator.
        ({"title": ""}, "cz"),
        ({"title": {"$ne": ""}}, "ab"),
        ({"title": ["", "b"]}, "bcz"),
        ({"title": {"$nin": ["", "b"]}}, "a"),
        ({"title": {"$gte": ""}}, "ab"),
        ({"title": {"$lt": "c"}}, "b"),
        ({"title": {"$lte": ""}}, ""),
        ({"section": ""}, "z"),
        ({"tags": ""}, "cz"),
        ({"tags": {"$ne": ""}}, "ab"),
        ({"tags": ["", "y"]}, "bcz"),
        ({"shares": 0}, "ab"),
        ({"shares": -0.0}, "ab"),
        ({"shares": {"$ne": 0}}, "cz"),
        ({"order": {"$gt": -2, "$ne": 2}}, "ac"),
    ],
    ids=str,
)
def test_a_filter_finds_exactly_what_it_says(
    shelf: Index, where: Mapping[str, object], expected: str
) -> None:
    conditions = parse_where(where, [field.name for field in FIELDS])
    found = shelf.search([1.0] * DIMENSION, limit=10, where=conditions)
    assert "".join(sorted(found[KEY])) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"score": "five"}, "number"),
        ({"score": True}, "number"),
        ({"score": float("nan")}, "number"),
        ({"title": 5}, "text"),
        ({"isOpen": "yes"}, "boolean"),
        ({"isOpen": {"$gt": True}}, "boolean"),
        ({"madeAt": "yesterday"}, "2026-01-31"),
        ({"tags": {"$gt": "x"}}, "list of text"),
        ({"score": ""}, "number"),
        ({"madeAt": ""}, "date"),
        ({"isOpen": ["", True]}, "boolean"),
        ({"raw": {"$gt": "a"}}, "cannot order"),
        ({"madeAt": "0001-01-01T00:00:00+05:00"}, "years 1 to 9999"),
        ({"days": ["9999-12-31T23:59:59-05:00"]}, "years 1 to 9999"),
    ],
    ids=str,
)
def test_a_filter_that_does_not_fit_its_field_is_the_callers_error(
    shelf: Index, where: Mapping[str, object], message: str
) -> None:
    conditions = parse_where(where, [field.name for field in FIELDS])
    with pytest.raises(ConfigError, match=message):
        shelf.search([1.0] * DIMENSION, limit=10, where=conditions)


@pytest.mark.parametrize("value", ["\ud800", ["web", "a\udfff"], {"$gt": "\udc80"}], ids=ascii)
def test_half_of_a_surrogate_pair_in_a_filter_is_the_callers_error(value: object) -> None:
    with pytest.raises(ConfigError, match=r"section.*half of a surrogate pair"):
        parse_where({"section": value}, ["section"])


@pytest.mark.parametrize(
    ("field", "of_b", "others"),
    [
        ("tags", "y", [f"tag {number}" for number in range(MANY)]),
        ("sizes", 3, range(100, MANY)),
        ("shares", 1.5, [number + 0.5 for number in range(100, MANY)]),
        ("title", "b", [f"title {number}" for number in range(MANY)]),
        ("score", 5, range(100, MANY)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_filter_takes_as_many_values_as_a_call_can_hold(
    shelf: Index, field: str, of_b: object, others: Sequence[object]
) -> None:
    conditions = parse_where({field: [*others, of_b]}, [each.name for each in FIELDS])
    found = shelf.search([1.0] * DIMENSION, limit=10, where=conditions)
    assert found[KEY].to_list() == ["b"]


def test_a_filter_on_a_field_the_index_lacks_is_the_callers_error(shelf: Index) -> None:
    with pytest.raises(ConfigError, match="colour"):
        shelf.search([1.0] * DIMENSION, limit=1, where=parse_where({"colour": "red"}, ["colour"]))


def test_the_nearest_comes_first_with_its_cosine_similarity(index: Index) -> None:
    vectors = np.zeros((4, DIMENSION), dtype=np.float32)
    vectors[0, 0], vectors[1, :2], vectors[2, 1], vectors[3, 0] = 9.0, (1.0, 1.0), 0.5, -3.0
    with index.lock():
        index.upsert(objects(["same", "half", "across", "against"], vectors=vectors))

    found = index.search([2.0] + [0.0] * (DIMENSION - 1), limit=10)

    assert found.columns == [KEY, SCORE, "title"]
    assert found.schema[SCORE] == pl.Float32
    assert found[KEY].to_list() == ["same", "half", "across", "against"]
    assert found[SCORE].to_list() == pytest.approx([1.0, 2**-0.5, 0.0, -1.0], abs=1e-6)
    assert found[SCORE].is_between(-1, 1).all()


def test_the_limit_counts_what_passed_the_filter(index: Index) -> None:
    keys = [f"{number:03d}" for number in range(200)]
    far = objects(keys[:3], title="rare", vectors=-np.ones((3, DIMENSION), dtype=np.float32))
    near = objects(keys[3:], vectors=np.ones((197, DIMENSION), dtype=np.float32))
    with index.lock():
        index.upsert(pl.concat([far, near]))
    where = parse_where({"title": "rare"}, ["title"])
    assert index.search([1.0] * DIMENSION, limit=2, where=where).height == 2
    assert index.search([1.0] * DIMENSION, limit=5, where=where).height == 3
    assert index.search([1.0] * DIMENSION, limit=5).height == 5


def test_search_agrees_with_numpy_on_random_vectors(index: Index) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((500, DIMENSION)).astype(np.float32)
    query = rng.standard_normal(DIMENSION).astype(np.float32)
    keys = [f"{number:03d}" for number in range(500)]
    with index.lock():
        index.add(objects(keys, vectors=vectors))

    found = index.search(query.tolist(), limit=20)

    cosine = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    best = np.argsort(-cosine)[:20]
    assert found[KEY].to_list() == [keys[row] for row in best]
    assert found[SCORE].to_list() == pytest.approx(cosine[best].tolist(), abs=1e-5)


def test_a_search_gives_the_columns_that_it_is_asked_for_and_no_others(shelf: Index) -> None:
    vector = shelf.fetch(["c"])[VECTOR][0].to_list()

    found = shelf.search(vector, limit=4, columns=(TEXT_HASH, "score", ROW_HASH))

    assert {*found.columns} == {KEY, SCORE, TEXT_HASH, "score", ROW_HASH}
    assert found.drop(ROW_HASH, TEXT_HASH).equals(
        shelf.search(vector, limit=4).select(KEY, SCORE, "score")
    )
    held = shelf.fetch(found[KEY].to_list(), vectors=False).sort(KEY)
    assert held.equals(found.select(held.columns).sort(KEY))


def test_search_in_an_empty_index_finds_nothing(index: Index) -> None:
    found = index.search([1.0] * DIMENSION, limit=5)
    assert found.is_empty()
    assert found.columns == [KEY, SCORE, "title"]
