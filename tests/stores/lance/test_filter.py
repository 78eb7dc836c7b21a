"""Conditions that only LanceDB answers exactly: dates of every year, and as many values as fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import polars as pl
import pytest

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.lance.index import LanceIndex
from semilayer_pipelines.stores.lance.store import LanceStore
from semilayer_pipelines.stores.protocol import KEY, IndexField, IndexSchema
from semilayer_pipelines.stores.where import parse_where
from tests.stores.objects import DIMENSION, objects

FIELDS = (
    IndexField("until", FieldType.DATE),
    IndexField("days", FieldType.DATE, array=True),
    IndexField("sizes", FieldType.NUMBER, array=True, integer=True),
)
FIRST, NOW, LAST = (
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 31, tzinfo=UTC),
    datetime(9999, 12, 31, tzinfo=UTC),
)
MANY = 200_000
"""Numbers of a list that the webhook takes."""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> LanceIndex:
    """Return an index of a, b, c with ever later dates, and z with none."""
    store = LanceStore(tmp_path_factory.mktemp("store"), "development")
    index = store.create("shelf", IndexSchema(FIELDS, DIMENSION))
    dates = pl.Datetime("us", "UTC")
    frame = objects(["a", "b", "c", "z"]).drop("title")
    with index.lock():
        index.add(
            frame.with_columns(
                until=pl.Series([FIRST, NOW, LAST, None], dtype=dates),
                days=pl.Series([[FIRST], [NOW], [NOW, LAST], None], dtype=pl.List(dates)),
                sizes=pl.Series([[1, 2], [3], [], None], dtype=pl.List(pl.Int64)),
            )
        )
    return index


def found(index: LanceIndex, where: Mapping[str, object]) -> str:
    conditions = parse_where(where, [field.name for field in FIELDS])
    return "".join(sorted(index.search([1.0] * DIMENSION, limit=10, where=conditions)[KEY]))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"until": "9999-12-31"}, "c"),
        ({"until": {"$ne": "9999-12-31"}}, "abz"),
        ({"until": {"$nin": ["0001-01-01", "9999-12-31"]}}, "bz"),
        ({"until": ["0001-01-01", "2026-01-31"]}, "ab"),
        ({"until": {"$lt": "9999-12-31", "$gt": "0001-01-01"}}, "b"),
        ({"until": {"$gte": "1600-01-01"}}, "bc"),
        ({"days": "9999-12-31"}, "c"),
        ({"days": ["0001-01-01", "2026-01-31"]}, "abc"),
        ({"days": {"$ne": "9999-12-31T00:00:00Z"}}, "abz"),
        ({"days": {"$nin": ["1600-01-01", "2026-01-31T01:00:00+01:00"]}}, "az"),
    ],
    ids=str,
)
def test_dates_of_every_year_are_compared(
    shelf: LanceIndex, where: Mapping[str, object], expected: str
) -> None:
    assert found(shelf, where) == expected


@pytest.mark.parametrize(
    ("operator", "expected"), [("$in", "a"), ("$nin", "bcz")], ids=["$in", "$nin"]
)
def test_as_many_values_as_a_call_can_hold_are_looked_for_in_a_list(
    shelf: LanceIndex, operator: str, expected: str
) -> None:
    values: Sequence[int] = [*range(100, 100 + MANY), 2]

    assert found(shelf, {"sizes": {operator: values}}) == expected
