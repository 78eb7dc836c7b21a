"""A search shows every row while many are replaced, however many requests it takes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from semilayer_pipelines.stores.protocol import KEY, Index
from semilayer_pipelines.stores.weaviate import reads as reading
from semilayer_pipelines.stores.weaviate.ids import object_id
from semilayer_pipelines.stores.weaviate.reads import Reads
from semilayer_pipelines.stores.where import parse_where
from tests.stores.objects import DIMENSION, ONE_FIELD_AND_WORDS, names, objects, vector_of
from tests.stores.weaviate.doubled import collection_of, opened, write
from tests.weaviate_double.server import Double

LIVE, OTHERS = names(600), names(2_000, start=600)
QUERY = vector_of(1)
WHERE = parse_where({"title": "live"}, ["title"])


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    """Return an index of 600 rows about one thing, and of 2,000 about another."""
    index = opened(double, tmp_path).create("lens-g1", ONE_FIELD_AND_WORDS)
    own = 0.1 * np.random.default_rng(2).standard_normal((2_600, DIMENSION)).astype(np.float32)
    for keys, word, about in (
        (LIVE, "live", own[:600] + QUERY),
        (OTHERS, "others", own[600:] - QUERY),
    ):
        write(index, objects(keys, title=word, vectors=about).with_columns(_words=pl.lit(word)))
    return index


def put_beside(double: Double, keys: Sequence[str]) -> list[bytes]:
    """Insert the other object of each key; return the ids of those that were there."""
    part, old = collection_of(double), list[bytes]()
    for key in keys:
        ids = [uuid.UUID(object_id(key, slot)).bytes for slot in range(2)]
        there, free = ids if ids[0] in part.objects else ids[::-1]
        part.put(free, part.objects[there])
        old.append(there)
    return old


def remove(double: Double, ids: Sequence[bytes]) -> None:
    for id_ in ids:
        collection_of(double).remove(id_)


def before_each_request(
    monkeypatch: pytest.MonkeyPatch, changes: Iterator[Callable[[], object]]
) -> None:
    """Let a writer change the collection before each request of a search."""
    ask = Reads._objects

    def ask_after_a_change(self: Reads, action: Any) -> Any:
        next(changes)()
        return ask(self, action)

    monkeypatch.setattr(Reads, "_objects", ask_after_a_change)


@pytest.mark.parametrize("limit", [600, 700, 800, 1_000])
@pytest.mark.parametrize("words", [False, True], ids=["by vector", "by words"])
def test_all_rows_are_found_while_each_has_an_old_and_a_new_object(
    double: Double, index: Index, limit: int, words: bool
) -> None:
    put_beside(double, LIVE)
    if words:
        found = index.search_words(["live"], limit=limit)
    else:
        found = index.search(QUERY.tolist(), limit=limit)
    assert found[KEY].is_unique().all()
    assert {*LIVE} <= {*found[KEY]}
    assert words or found.height == limit


@pytest.mark.parametrize("verb", ["_near", "_by_words"])
def test_an_answer_that_lost_objects_is_not_taken_for_all_that_there_are(
    double: Double, index: Index, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects that are deleted between the server's two steps, finding and reading, are lost."""
    # given that each row is there twice, and the first two answers lose ten objects
    put_beside(double, LIVE)
    ask, asked = getattr(Reads, verb), list[int]()

    def losing_some(self: Reads, query: Any, limit: int, *how: Any) -> Any:
        asked.append(limit)
        found = ask(self, query, limit, *how)
        return found[10:] if len(asked) <= 2 else found

    def comparing(*_: Any) -> None:
        raise AssertionError("the index knows all objects")

    monkeypatch.setattr(Reads, verb, losing_some)
    monkeypatch.setattr(reading, "compared", comparing)

    # when, then
    if verb == "_near":
        found = index.search(QUERY.tolist(), limit=600)
    else:
        found = index.search_words(["live"], limit=600)
    assert {*found[KEY]} == {*LIVE}
    assert [limit > 600 for limit in asked] == [False, True, False, True]


@pytest.mark.parametrize("limit", [600, 800, 2_600])
@pytest.mark.parametrize("where", [(), WHERE], ids=["all", "under a condition"])
def test_no_row_is_skipped_by_a_search_without_the_vector_index(
    double: Double, index: Index, where: Any, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a vector index that lost nearly all, and a writer that replaces rows between requests
    collection_of(double).searchable = lambda: set()  # type: ignore[method-assign]
    rows = sorted(LIVE, key=object_id)
    some = [rows[start : start + 100] for start in range(0, 600, 100)]

    def replacing() -> Iterator[Callable[[], object]]:
        for keys in some:
            old = put_beside(double, keys)
            yield lambda: None
            yield partial(remove, double, old)
        yield from repeat(lambda: None)

    before_each_request(monkeypatch, replacing())

    # when, then
    found = index.search(QUERY.tolist(), limit=limit, where=where)
    assert found[KEY].is_unique().all()
    assert {*LIVE} <= {*found[KEY]}
