"""Searching by meaning, by words and by both: who is found, by which mode, with which score.

Each test runs over LanceDB and over Weaviate, at `WEAVIATE_URL` or our double.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from semilayer_pipelines.errors import ConfigError, Refused
from semilayer_pipelines.ingest.written_index import written_index
from semilayer_pipelines.queries.explain import explain
from semilayer_pipelines.queries.search import Hit, find, search, similar
from semilayer_pipelines.registry import changes
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.jobs import Mode
from semilayer_pipelines.registry.lenses import Needs
from tests.lab import ENV, Lab
from tests.weaviate_double.server import Double

WITHOUT: dict[str, Any] = {
    "name": {"type": "text", "searchable": True},
    "description": {"type": "text", "searchable": True},
    "category": {"type": "text"},
}
FIELDS: dict[str, Any] = WITHOUT | {
    "name": {"type": "text", "searchable": True, "keyword": "exact"},
    "description": {"type": "text", "searchable": True, "keyword": True},
}
ROWS = [
    (1, "ERR_4711-b", "raised when the disk is full", "errors"),
    (2, "ERR_4711-c", "like ERR_4711-b, ERR_4711-b and once more ERR_4711-b", "errors"),
    (3, "libfoo2t64", "a library of foo", "libs"),
    (4, "写真", "写真を編集する", "cjk"),
    (
        5,
        "handbook",
        "where ERR_9 and https://example.org/fix?e=9 are explained " + "a " * 300,
        "docs",
    ),
    *((n, f"other {n}", f"filler number {n} about disk", "filler") for n in range(10, 110)),
]


@pytest.fixture(params=["lancedb", "weaviate"])
def environ(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "lancedb":
        yield {}
        return
    own = {"SEMILAYER_STORE": "weaviate", "WEAVIATE_PREFIX": f"T{uuid4().hex[:10]}"}
    if "WEAVIATE_URL" in os.environ:
        yield {n: v for n, v in os.environ.items() if n.startswith("WEAVIATE_")} | own
        return
    with Double.serving() as double:
        yield double.environ | own


def lab_at(folder: Path, environ: dict[str, str], **lens: object) -> Lab:
    lab = Lab.opened(folder, environ)
    with lab.source() as db:
        db.execute(
            "CREATE TABLE items"
            " (id INTEGER PRIMARY KEY, name TEXT, description TEXT, category TEXT)"
        )
        db.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", ROWS)
    lab.push(**({"fields": FIELDS} | lens))
    lab.full()
    return lab


@pytest.fixture
def lab(tmp_path: Path, environ: dict[str, str]) -> Iterator[Lab]:
    made = lab_at(tmp_path, environ)
    yield made
    drop_all(made)


def drop_all(lab: Lab) -> None:
    store = lab.project.store(ENV)
    for name in store.names():
        store.drop(name)


def look(lab: Lab, text: str, **asked: Any) -> list[Hit]:
    return search(lab.project, "items", text, **asked)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_what_no_search_can_be_asked_with_is_refused(lab: Lab) -> None:
    # a text of blanks, of which any row would be the answer
    for mode in (None, "semantic", "keyword", "hybrid"):
        for text in ("", "   ", "\n\t\u3000"):
            with pytest.raises(ConfigError, match="text to search for is empty"):
                look(lab, text, mode=mode)
    for limit in (0, -3, 1_001):
        with pytest.raises(ConfigError, match="1 to 1,000 rows, and not"):
            look(lab, "a library of foo", limit=limit)
        with pytest.raises(ConfigError, match="1 to 1,000 rows, and not"):
            similar(lab.project, "items", "3", limit=limit)
    with pytest.raises(ConfigError, match="least score is no number"):
        look(lab, "a library of foo", min_score=float("nan"))


def test_half_of_a_surrogate_pair_is_the_callers_error_and_no_damage(lab: Lab) -> None:
    half = "foo\udc80"
    for mode in ("semantic", "keyword", "hybrid"):
        with pytest.raises(ConfigError, match="text to search for holds half"):
            look(lab, half, mode=mode)
    with pytest.raises(ConfigError, match=r"category.*half of a surrogate pair"):
        look(lab, "foo", where={"category": half})
    with pytest.raises(ConfigError, match="id of a row holds half"):
        similar(lab.project, "items", half)
    with pytest.raises(ConfigError, match="id of a row holds half"):
        explain(lab.project, ENV, "items", half)


def test_what_is_of_another_type_than_a_search_takes_is_refused(lab: Lab) -> None:
    no_text: Any
    for no_text in (3, None, b"foo"):
        with pytest.raises(ConfigError, match="What to search for is no text"):
            look(lab, no_text)
        with pytest.raises(ConfigError, match="id of a row is a text, and not") as refused:
            similar(lab.project, "items", no_text)
        assert "'3' for the key 3" in refused.value.cure
    no_limit: Any
    for no_limit in ("3", 2.5, None):
        with pytest.raises(ConfigError, match="The limit is no whole number"):
            look(lab, "a library of foo", limit=no_limit)
    of_numpy: Any = np.int64(2)
    assert len(look(lab, "a library of foo", limit=of_numpy)) == 2
    no_mode: Any = 3
    with pytest.raises(ConfigError, match="There is no mode 3"):
        look(lab, "a library of foo", mode=no_mode)


def test_a_search_ends_in_the_index_that_it_began_with_though_another_model_is_published(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look(lab, "a library of foo", mode="semantic")
    opening = "semilayer_pipelines.queries.search.written_index"

    def published_before(*asked: Any) -> Any:
        monkeypatch.setattr(opening, written_index)
        lab.push(fields=FIELDS, embedding={"provider": "hash", "dimensions": 16})
        lab.full()
        return written_index(*asked)

    monkeypatch.setattr(opening, published_before)

    meanwhile = look(lab, "a library of foo", mode="semantic")

    assert [(hit.id, hit.score) for hit in meanwhile] == [(hit.id, hit.score) for hit in found]
    assert len(look(lab, "a library of foo", mode="semantic")) == len(found)


def test_the_row_that_is_named_comes_first_by_words_and_by_both(lab: Lab) -> None:
    for text, row in (
        ("ERR_4711-b", "1"),
        ("err 4711 b", "1"),
        ("LIBFOO2T64", "3"),
        ("libfoo", "3"),
        ("写真", "4"),
        ("https://example.org/fix?e=9", "5"),
        ("what does ERR_9 mean", "5"),
    ):
        for mode in ("keyword", "hybrid"):
            assert ids(look(lab, text, mode=mode))[0] == row, (text, mode)
            assert ids(look(lab, text, mode=mode, limit=1)) == [row]


def test_hybrid_is_the_default_of_a_lens_with_keywords_and_semantic_of_others(
    lab: Lab, tmp_path: Path
) -> None:
    assert find(lab.project, "items", "libfoo").mode == "hybrid"

    (tmp_path / "other").mkdir()
    plain = lab_at(tmp_path / "other", {}, fields=WITHOUT)
    assert find(plain.project, "items", "libfoo").mode == "semantic"
    for mode in ("keyword", "hybrid"):
        with pytest.raises(Refused, match="the index has none") as refused:
            look(plain, "libfoo", mode=mode)
        assert "keyword: true" in refused.value.cure
        assert "semilayer resume --lens items" in refused.value.cure
    with pytest.raises(ConfigError, match="did you mean 'hybrid'"):
        look(plain, "libfoo", mode="hybird")


def test_a_score_is_what_its_mode_says(lab: Lab) -> None:
    meant = look(lab, "ERR_4711-b", mode="semantic", limit=200)
    worded = look(lab, "ERR_4711-b", mode="keyword", limit=200)
    both = look(lab, "ERR_4711-b", mode="hybrid", limit=200)

    assert all(hit.score == hit.similarity and hit.bm25 is None for hit in meant)
    assert all(-1 <= hit.score <= 1 for hit in meant)
    best, *others = worded
    assert best.bm25 is not None
    assert best.score == pytest.approx(best.bm25 + max(hit.bm25 or 0 for hit in worded))
    assert all(hit.score == hit.bm25 and hit.similarity is None for hit in others)
    assert len(worded) < len(meant) == len(ROWS)
    similarity = {hit.id: hit.similarity for hit in meant}
    bm25 = {hit.id: hit.bm25 for hit in worded}
    assert len(both) == len(ROWS)
    for hit in both:
        assert 0 < hit.score <= 1
        assert hit.similarity == pytest.approx(similarity[hit.id], abs=1e-5)
        assert (hit.bm25 is None) == (hit.id not in bm25)
        assert (hit.bm25 or 0) == pytest.approx(bm25.get(hit.id) or 0, rel=1e-3)
    for hits in (meant, worded, both):
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("mode", ["semantic", "keyword", "hybrid"])
def test_rows_below_the_least_score_are_left_out(lab: Lab, mode: str) -> None:
    every = look(lab, "full disk library", mode=mode, limit=50)
    least = every[1].score

    some = look(lab, "full disk library", mode=mode, limit=50, min_score=least)

    assert ids(some) == [hit.id for hit in every if hit.score >= least]
    assert 0 < len(some) < len(every)
    assert look(lab, "disk library", mode=mode, min_score=1e6) == []


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_conditions_hold_in_every_mode(lab: Lab, mode: str) -> None:
    hits = look(lab, "ERR_4711-b disk", mode=mode, where={"category": "filler"}, limit=20)
    assert len(hits) == 20
    assert {hit.fields["category"] for hit in hits} == {"filler"}
    assert ids(look(lab, "ERR_4711-b", mode=mode, where={"category": "docs"})) in ([], ["5"])


def test_a_text_without_words_is_found_by_meaning_alone(lab: Lab) -> None:
    assert look(lab, "?!", mode="keyword") == []
    assert len(look(lab, "?!", mode="hybrid", limit=3)) == 3


def test_a_long_question_keeps_its_order_by_meaning_and_shows_the_row_of_a_rare_word(
    lab: Lab,
) -> None:
    question = "please tell everybody if anyone knows one handbook about this number"
    meant = ids(look(lab, question, mode="semantic", limit=200))
    assert ids(look(lab, question, mode="keyword"))[0] == "5"
    assert meant.index("5") > 10  # the embedder of tests knows no meaning

    both = ids(look(lab, question, mode="hybrid"))

    assert both[:5] == meant[:5]
    assert "5" in both


def test_similar_rows_are_similar_in_meaning(lab: Lab) -> None:
    hits = similar(lab.project, "items", "1", limit=3)
    assert len(hits) == 3
    assert all(hit.score == hit.similarity and hit.bm25 is None for hit in hits)


def test_words_follow_the_rows_through_records_and_syncs(lab: Lab) -> None:
    with lab.source() as db:
        db.execute("UPDATE items SET name = 'NEW_1' WHERE id = 1")
        db.execute("DELETE FROM items WHERE id = 3")
        db.execute("INSERT INTO items VALUES (7, 'NEW_7', 'brand new', 'new')")
    with lab.project.registry.begin() as db:
        told = [("1", Action.UPSERT), ("3", Action.DELETE), ("7", Action.UPSERT)]
        changes.append(db, lab.lens.id, told, lab.project.clock())
    lab.run(lab.request(Mode.RECORDS))
    assert ids(look(lab, "new_1", mode="keyword"))[0] == "1"
    assert ids(look(lab, "new_7", mode="keyword"))[0] == "7"
    assert "3" not in ids(look(lab, "libfoo", mode="keyword"))
    assert "1" not in ids(look(lab, "full disk", mode="keyword", where={"name": "ERR_4711-b"}))

    with lab.source() as db:
        # What is metadata to the model alone keeps its vector, and changes its words.
        db.execute("UPDATE items SET category = 'moved' WHERE id = 7")
        db.execute("UPDATE items SET name = 'SYNCED_2' WHERE id = 2")
    lab.sync()
    assert ids(look(lab, "synced_2", mode="keyword"))[0] == "2"
    assert look(lab, "NEW_7", mode="keyword")[0].fields["category"] == "moved"
    assert lab.audit().clean


def test_keywords_come_to_an_index_by_a_rebuild_that_embeds_nothing(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    lab = lab_at(tmp_path, environ, fields=WITHOUT)

    lab.push(fields=FIELDS)
    assert lab.lens.needs is Needs.REBUILD
    assert find(lab.project, "items", "libfoo").mode == "semantic"

    done = lab.full()

    assert done.counts.embedded == 0
    assert done.counts.reused == len(ROWS)
    assert lab.lens.needs.value == "nothing"
    assert ids(look(lab, "libfoo"))[0] == "3"
    drop_all(lab)


def test_another_keyword_is_brought_in_by_a_smart_sync_that_embeds_nothing(lab: Lab) -> None:
    lab.push(fields=FIELDS | {"category": {"type": "text", "keyword": True}})
    assert lab.lens.needs is Needs.SMART_SYNC
    assert look(lab, "cjk", mode="keyword") == []

    done = lab.sync()

    assert done.counts.embedded == 0
    assert lab.lens.needs.value == "nothing"
    assert ids(look(lab, "cjk", mode="keyword")) == ["4"]


def test_a_lens_that_gives_up_its_keywords_needs_a_rebuild_and_searches_on(lab: Lab) -> None:
    lab.push(fields=WITHOUT)
    assert lab.lens.needs is Needs.REBUILD
    assert ids(look(lab, "libfoo"))[0] == "3"

    assert lab.full().counts.embedded == 0

    assert find(lab.project, "items", "libfoo").mode == "semantic"


def test_a_tenants_words_are_searched_alone(tmp_path: Path, environ: dict[str, str]) -> None:
    lab = lab_at(tmp_path, environ, tenant="category")
    for mode in ("keyword", "hybrid"):
        with pytest.raises(ConfigError, match="category must be named"):
            look(lab, "ERR_4711-b", mode=mode)
        hits = look(lab, "ERR_4711-b", mode=mode, where={"category": "errors"})
        assert ids(hits) == ["1", "2"]
    drop_all(lab)
