"""What a bare server does with a search by words: how it cuts texts, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, MetadataQuery
from weaviate.exceptions import WeaviateQueryError

from tests.stores.weaviate.bare import Server, id_of

TEXTS = ["to be or not to be", "ERR_4711-b foo", "foo foo bar baz", "c++ 照片", "other"]


def filled(server: Server, tokenization: str, *, preset: str = "none") -> Any:
    """Return a collection of `TEXTS` that is searched by words; it has a text that is not."""
    declared = server.declared("texts") | {
        "properties": [
            {"name": "words", "dataType": ["text"], "tokenization": tokenization},
            {"name": "kept", "dataType": ["text"], "indexSearchable": False},
            {"name": "number", "dataType": ["int"]},
        ],
        "invertedIndexConfig": {"stopwords": {"preset": preset}},
    }
    status, said = server.ask("POST", "/schema", declared)
    assert status == 200, said
    made = server.client.collections.use(server.name("texts"))
    objects: list[DataObject[Any, Any]] = [
        DataObject(properties={"words": text, "kept": text, "number": at}, uuid=id_of(at))
        for at, text in enumerate(TEXTS)
    ]
    assert not made.data.insert_many([*objects, DataObject(properties={"number": 99})]).errors
    return made


def found(collection: Any, query: str, **options: Any) -> list[int]:
    asked = {"query_properties": ["words"], "limit": 10} | options
    return [each.properties["number"] for each in collection.query.bm25(query, **asked).objects]


@pytest.mark.parametrize("preset", ["none", "en"])
def test_whitespace_finds_just_what_stands_between_blanks(any_server: Server, preset: str) -> None:
    texts = filled(any_server, "whitespace", preset=preset)

    assert found(texts, "to be") == [0]
    assert found(texts, "ERR_4711-b") == [1]
    assert found(texts, "c++") == found(texts, "照片") == [3]
    for query in ("err_4711-b", "ERR", "4711", "FOO", "照", "c", "  ", "nothing"):
        assert found(texts, query) == [], query


def test_other_tokenizations_cut_and_leave_out(any_server: Server) -> None:
    texts = filled(any_server, "word", preset="en")

    assert found(texts, "4711") == found(texts, "err") == found(texts, "ERR 4711") == [1]
    assert found(texts, "to be or not to be") == []


def test_more_of_a_word_and_a_rare_word_score_higher(any_server: Server) -> None:
    texts = filled(any_server, "whitespace")
    scores = MetadataQuery(score=True)

    assert found(texts, "foo") == [2, 1]
    assert found(texts, "foo ERR_4711-b") == [1, 2]
    assert found(texts, "foo", limit=1) == [2]
    assert found(texts, "foo", filters=Filter.by_property("number").less_than(2)) == [1]
    once, twice = (
        texts.query.bm25(query, query_properties=["words"], return_metadata=scores).objects
        for query in ("foo", "foo foo")
    )
    assert once[0].metadata.score > once[1].metadata.score > 0
    assert twice[0].metadata.score == pytest.approx(2 * once[0].metadata.score, rel=1e-3)


def test_what_no_words_are_kept_of_cannot_be_searched(any_server: Server) -> None:
    texts = filled(any_server, "whitespace")

    for name in ("kept", "number", "absent"):
        with pytest.raises(WeaviateQueryError, match=f"'{name}' requires inverted index"):
            found(texts, "foo", query_properties=[name])
    with pytest.raises(WeaviateQueryError, match="must have query set"):
        found(texts, "")
    with pytest.raises(WeaviateQueryError, match="QUERY_MAXIMUM_RESULTS"):
        found(texts, "foo", limit=10_001)
