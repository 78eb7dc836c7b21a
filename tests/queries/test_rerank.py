"""The best hits of a search in a reranker's order: which are read, as what, and what they score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.embedders.local import cross_encoder
from semilayer_pipelines.errors import ConfigError, ModelUnavailable
from semilayer_pipelines.queries.rerank import MAX_RERANKED_CHARACTERS, RERANKED_HITS, Reranking
from semilayer_pipelines.queries.search import search
from semilayer_pipelines.registry import generations
from semilayer_pipelines.registry.lenses import Needs
from semilayer_pipelines.stores.chunks.protocol import CHUNK
from semilayer_pipelines.stores.chunks.search import CHUNK_TYPE
from semilayer_pipelines.stores.protocol import KEY, SCORE
from tests.embedders.tiny_model import save_tiny_model
from tests.embedders.tiny_reranker import save_tiny_reranker, scores_of
from tests.ingest.chunked import CHUNKING, LONG, chunked
from tests.lab import Lab

TEXTED = {
    "name": {"type": "text", "searchable": {"weight": 3}},
    "category": {"type": "text"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_reranker(tmp_path_factory.mktemp("reranker"))


@pytest.fixture(autouse=True)
def _models_go_with_their_test() -> Iterator[None]:
    yield
    cross_encoder._loaded.clear()


@dataclass
class Length:
    """Longer texts fit better; keeps what it read."""

    fingerprint: str = "length"
    read: list[str] = field(default_factory=list)

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        self.read += texts
        return np.array([len(text) for text in texts], np.float32)


def fields(**more: object) -> dict[str, FieldConfig]:
    return {
        "title": FieldConfig(type="text", searchable=True),
        "price": FieldConfig(type="number"),
        "tags": FieldConfig(type="text", array=True, searchable={"weight": 5}),
        "stock": FieldConfig(type="number", searchable=True),
    }


def found(*rows: Mapping[str, object]) -> pl.DataFrame:
    """Return what a search found: these rows, the best first, each by its position for a key."""
    schema = {
        KEY: pl.String(),
        SCORE: pl.Float32(),
        "title": pl.String(),
        "price": pl.Float64(),
        "tags": pl.List(pl.String),
        "stock": pl.Float64(),
        CHUNK: CHUNK_TYPE,
    }
    told = [{KEY: str(at), SCORE: 1 - at / 100, **row} for at, row in enumerate(rows)]
    return pl.DataFrame(told, schema=schema)


def test_a_row_is_read_as_its_searchable_fields_each_on_a_line_and_once() -> None:
    length = Length()
    rows = found(
        {"title": "a", "price": 3.0, "tags": ["x", "y"], "stock": 5.0},
        {"title": None, "price": 1.0, "tags": [], "stock": None},
        {"title": "b" * 20_000, "price": None, "tags": None, "stock": 0.5},
    )

    best = Reranking(length, fields()).ranked("q", rows, 2)

    assert length.read == ["a\nx, y\n5", "", "b" * MAX_RERANKED_CHARACTERS]
    assert best.select(KEY, SCORE).rows() == [("2", MAX_RERANKED_CHARACTERS), ("0", 8)]


def test_a_row_that_was_cut_is_read_as_its_short_fields_and_the_chunk_that_was_found() -> None:
    length = Length()
    long = "t" * 9_000 + "what was found" + "t" * 9_000
    chunk = {"field": "title", "start": 9_000, "end": 9_014, "score": 0.5}
    of_title = {"title": long, "tags": ["x"], "stock": 5.0, CHUNK: chunk}
    of_tags = of_title | {"title": "a title", "tags": [long], CHUNK: chunk | {"field": "tags"}}
    other_long = of_title | {"tags": ["y" * 300]}
    short = of_title | {"title": "short, cut", CHUNK: chunk | {"start": 7, "end": 10}}

    Reranking(length, fields()).ranked("q", found(of_title, of_tags, other_long, short), 4)

    assert length.read == [
        "x\n5\nwhat was found",
        "a title\n5\nwhat was found",
        "5\nwhat was found",
        "x\n5\ncut",
    ]


def test_fifty_are_read_however_many_are_asked_for() -> None:
    length = Length()
    rows = found(*({"title": "x" * n} for n in range(80)))
    second = Reranking(length, fields())

    assert [second.candidates(limit) for limit in (1, 10, 50, 80)] == [50, 50, 50, 80]
    best = second.ranked("q", rows, 80)

    assert len(length.read) == RERANKED_HITS == 50
    assert best[KEY].to_list() == [str(n) for n in reversed(range(50))]


def test_hits_that_score_alike_stay_in_the_order_of_the_search() -> None:
    rows = found(*[{"title": "same"}] * 4)

    assert Reranking(Length(), fields()).ranked("q", rows, 4)[KEY].to_list() == list("0123")


def test_without_a_reranker_hits_are_as_the_search_found_them() -> None:
    rows = found(*({"title": "x" * n} for n in range(80)))
    none = Reranking(None, fields())

    assert none.candidates(7) == 7
    assert none.ranked("q", rows, 7).equals(rows.head(7))


def test_a_long_row_is_judged_by_the_chunk_that_was_found(tmp_path: Path, folder: Path) -> None:
    lab = chunked(tmp_path, 3)
    with lab.source() as db:
        db.execute("UPDATE items SET description = ? WHERE id = 1", (LONG,))
    lab.full()
    plain = search(lab.project, "items", "sentence 11", limit=50)

    lab.push(chunking=CHUNKING, rerank=str(folder))

    hits = search(lab.project, "items", "sentence 11", limit=50)
    assert [hit.chunk for hit in hits if hit.id == "1"] == [h.chunk for h in plain if h.id == "1"]
    [hit] = [hit for hit in hits if hit.id == "1"]
    assert hit.chunk is not None
    text = f"{hit.fields['name']}\n{hit.chunk.text}"
    assert hit.score == pytest.approx(scores_of(folder, "sentence 11", [text])[0], abs=1e-5)


def test_a_lens_with_a_reranker_answers_in_its_order_from_the_push_on(
    tmp_path: Path, folder: Path
) -> None:
    lab = Lab.at(tmp_path, rows=60, fields=TEXTED)
    lab.full()
    with lab.source() as db:
        db.execute("update items set name = 'north ' || id where id % 7 = 0")
        db.execute("update items set name = 'rows in step ' || id where id % 7 = 1")
    lab.sync()
    plain = search(lab.project, "items", "north rows", limit=50)

    lab.push(fields=TEXTED, rerank=str(folder))

    assert lab.lens.needs is Needs.NOTHING
    found = search(lab.project, "items", "north rows", limit=5)
    texts = {hit.id: str(hit.fields["name"]) for hit in plain}
    scores = scores_of(folder, "north rows", list(texts.values()))
    best = sorted(zip(scores, texts, strict=True), key=lambda pair: -pair[0])[:5]
    assert [hit.score for hit in found] == pytest.approx([s for s, _ in best], abs=1e-5)
    # And it is taken out as easily.
    lab.push(fields=TEXTED)
    assert search(lab.project, "items", "north rows", limit=50) == plain


def test_a_reranker_takes_effect_while_a_rebuild_is_still_to_come(
    tmp_path: Path, folder: Path
) -> None:
    lab = Lab.at(tmp_path, rows=10, fields=TEXTED)
    lab.full()

    more = TEXTED | {"extra": {"type": "text", "from": "name"}}
    lab.push(fields=more, rerank=str(folder))

    assert lab.lens.needs is Needs.REBUILD
    with lab.project.registry.read() as db:
        assert generations.active(db, lab.lens.id) is not None
    found = search(lab.project, "items", "north", limit=10)
    texts = [str(hit.fields["name"]) for hit in found]
    assert [hit.score for hit in found] == pytest.approx(
        scores_of(folder, "north", texts), abs=1e-5
    )


@pytest.mark.parametrize("kind", ["a path that is none", "a model of vectors"])
def test_a_push_refuses_what_is_no_reranker(tmp_path: Path, kind: str) -> None:
    lab = Lab.at(tmp_path, rows=3, fields=TEXTED)
    model = (
        str(tmp_path / "missing") if "none" in kind else str(save_tiny_model(tmp_path / "vectors"))
    )

    with pytest.raises(ConfigError, match=r"does not exist|no reranker") as caught:
        lab.push(fields=TEXTED, rerank=model)

    assert caught.value.lens == "items"
    assert lab.lens.config.rerank is None


def test_a_reranker_that_cannot_be_had_is_told_at_the_first_search(tmp_path: Path) -> None:
    lab = Lab.at(tmp_path, rows=3, fields=TEXTED, rerank="nobody/no-such-reranker")
    lab.full()

    with pytest.raises(ModelUnavailable, match="nobody/no-such-reranker is not on") as caught:
        search(lab.project, "items", "north")

    assert "Correct 'rerank'" in caught.value.cure
