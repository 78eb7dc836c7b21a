"""What every store must do with a search by words: who is found, when, and who comes first."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import polars as pl
import pytest

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores.protocol import KEY, SCORE, WORDS, Index, IndexField, Store
from semilayer_pipelines.stores.where import parse_where
from tests.stores.objects import ONE_FIELD, ONE_FIELD_AND_WORDS, names, objects, worded


@pytest.fixture
def words(store: Store) -> Index:
    return store.create("words-g1", ONE_FIELD_AND_WORDS)


def write(index: Index, rows: Mapping[str, str | None], *, title: str = "a title") -> None:
    with index.lock():
        index.upsert(worded(rows, title=title))


def found(index: Index, *tokens: str, limit: int = 10) -> list[str]:
    return index.search_words(tokens, limit=limit)[KEY].to_list()


def test_a_row_is_found_by_any_of_its_tokens_and_by_nothing_else(words: Index) -> None:
    long = "https://example.org/" + "x" * 180
    write(
        words,
        {"a": f"err_4711-b err 4711 c++ {long}", "b": "照片 to be or not to be =a=b", "c": None},
    )

    for token in ("err_4711-b", "4711", "c++", long):
        assert found(words, token) == ["a"], token
    for token in ("照片", "to", "be", "=a=b"):
        assert found(words, token) == ["b"], token
    for token in ("ERR", "471", "err_4711", "c", "a=b", long[:-1]):
        assert found(words, token) == [], token
    assert sorted(found(words, "nothing", "err", "or")) == ["a", "b"]
    assert found(words) == []


def test_an_answer_has_key_score_and_fields_and_the_rarer_word_counts_more(words: Index) -> None:
    write(words, {key: "common" for key in names(9)})
    write(words, {"rare": "common rare", "both": "rare common rare common"}, title="other")

    answer = words.search_words(["common", "rare"], limit=3)

    assert answer.columns == [KEY, SCORE, "title"]
    assert answer.schema[SCORE] == pl.Float32
    assert sorted(answer[KEY][:2]) == ["both", "rare"]
    assert answer["title"].to_list() == ["other", "other", "a title"]
    assert answer[SCORE].is_sorted(descending=True)
    assert all(score > 0 for score in answer[SCORE])
    assert answer.height == 3


def test_an_answer_has_the_words_of_its_rows_where_they_are_asked_for(words: Index) -> None:
    write(words, {"a": "err_4711-b err 4711", "b": "err"})

    answer = words.search_words(["err"], limit=3, words=True)

    assert answer.columns == [KEY, SCORE, WORDS, "title"]
    told = dict(answer.select(KEY, WORDS).iter_rows())
    assert told == {"a": "err_4711-b err 4711", "b": "err"}
    assert words.search_words([], limit=3, words=True).columns == answer.columns


def test_a_word_of_few_counts_more_than_one_of_many(words: Index) -> None:
    write(words, {"long": "needle " + " ".join(names(400)), "short": "needle other"})
    assert found(words, "needle") == ["short", "long"]


def test_every_write_is_seen_at_once(words: Index) -> None:
    write(words, {"a": "first", "b": "first"})
    with words.lock():
        words.add(worded({"c": "first added"}))
    assert sorted(found(words, "first")) == ["a", "b", "c"]

    write(words, {"a": "second"}, title="changed")
    with words.lock():
        words.delete(["b"])
    assert found(words, "first") == ["c"]
    assert found(words, "second") == ["a"]

    write(words, {"a": None})
    assert found(words, "second") == []

    words.maintain(force=True)
    write(words, {"d": "first"})
    assert sorted(found(words, "first")) == ["c", "d"]
    assert found(words, "second") == []


def test_conditions_limit_who_is_found_and_not_how_many(words: Index) -> None:
    write(words, {key: "word" for key in names(30)}, title="many")
    write(words, {"x": "word " + "filler " * 50, "y": "none"}, title="few")

    few = parse_where({"title": "few"}, ["title"])
    assert words.search_words(["word"], limit=5, where=few)[KEY].to_list() == ["x"]
    many = parse_where({"title": {"$ne": "few"}}, ["title"])
    assert words.search_words(["word"], limit=50, where=many).height == 30
    assert words.search_words(["word"], limit=7, where=many).height == 7
    with pytest.raises(ConfigError, match="title"):
        words.search_words(["word"], limit=5, where=parse_where({"title": 5}, ["title"]))


def test_an_index_says_whether_it_has_words_and_keeps_them(store: Store, words: Index) -> None:
    without = store.create("plain-g1", ONE_FIELD)
    write(words, {"a": "kept =kept"})

    assert words.schema.words
    assert store.open("words-g1").schema.words
    assert not without.schema.words
    assert words.get("a")[WORDS] == "kept =kept"  # type: ignore[index]
    with words.lock(), pytest.raises(ValueError, match=WORDS):
        words.upsert(objects(["a"]))

    with words.lock():
        assert words.rewrite(["a"]) == 1
    assert found(words, "=kept") == ["a"]


def test_rows_that_are_rewritten_are_found_once_each_all_the_while(words: Index) -> None:
    rows = {key: "steady" for key in names(60)}
    write(words, rows)
    over = threading.Event()

    def rewrite() -> None:
        for number in range(6):
            write(words, rows, title=f"version {number}")
        over.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    answers = []
    while not over.is_set():
        answers.append(found(words, "steady", limit=100))
    writer.join()

    assert answers
    assert all(sorted(answer) == names(60) for answer in answers)


def test_a_field_may_have_any_name_beside_the_words(store: Store) -> None:
    fields = (IndexField("words", FieldType.TEXT), IndexField("score", FieldType.NUMBER))
    schema = type(ONE_FIELD)(fields, ONE_FIELD.dimension, words=True)
    index = store.create("names-g1", schema)
    frame = worded({"a": "token"}).drop("title")
    with index.lock():
        index.upsert(frame.with_columns(words=pl.lit("a text"), score=pl.lit(1.5)))

    answer = index.search_words(["token"], limit=5)

    assert answer.row(0, named=True) | {SCORE: 0} == {
        KEY: "a",
        SCORE: 0,
        "words": "a text",
        "score": 1.5,
    }
