"""Rows so long that what is asked for at once is more than a message of the server may hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.stores.protocol import KEY, WORDS, Index
from tests.stores.objects import ONE_FIELD_AND_WORDS, names, vector_of, worded
from tests.stores.weaviate.doubled import opened, write
from tests.weaviate_double.server import Double

MESSAGE_BYTES = 2_000_000
KEYS = names(60)
TITLE = "long " * 20_000
TOLD = "word " + "filler " * 5_000


@pytest.fixture
def double() -> Iterator[Double]:
    with Double.serving(message_bytes=MESSAGE_BYTES) as running:
        yield running


@pytest.fixture
def index(double: Double, tmp_path: Path) -> Index:
    index = opened(double, tmp_path).create("lens-g1", ONE_FIELD_AND_WORDS)
    assert write(index, worded(dict.fromkeys(KEYS, TOLD), title=TITLE)) == len(KEYS)
    return index


def test_a_search_returns_them_all_in_their_order_and_whole(index: Index) -> None:
    query = vector_of(7).tolist()

    near = index.search(query, limit=len(KEYS))
    worded = index.search_words(["word"], limit=len(KEYS), words=True)

    first = [index.search(query, limit=few)[KEY].to_list() for few in (1, 5, 15)]
    assert [near[KEY].to_list()[:few] for few in (1, 5, 15)] == first
    for found in (near, worded):
        assert sorted(found[KEY]) == KEYS
        assert found["title"].unique().to_list() == [TITLE]
    assert worded[WORDS].unique().to_list() == [TOLD]


def test_they_are_read_back_and_written_again_whole(index: Index) -> None:
    read = index.fetch(KEYS, also=("title", WORDS))
    assert sorted(read[KEY]) == KEYS

    with index.lock():
        assert index.rewrite(KEYS) == len(KEYS)

    again = index.fetch(KEYS, also=("title", WORDS))
    assert again.sort(KEY).equals(read.sort(KEY))
    assert index.hidden(KEYS) == []


def test_a_search_that_comes_back_short_compares_them_all_the_same(
    double: Double, index: Index
) -> None:
    double.kill_and_restart(hide=25)

    found = index.search(vector_of(7).tolist(), limit=len(KEYS))

    assert sorted(found[KEY]) == KEYS
    assert found["title"].unique().to_list() == [TITLE]
