"""The two sides of a model: the very vectors that the library's own two calls make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.prompts import PromptsConfig
from semilayer_pipelines.embedders import BuiltWith, build_of, known_build
from semilayer_pipelines.embedders.local.model_source import DEFAULT_MODEL, vector_space
from semilayer_pipelines.embedders.local.own_prompts import own_prompts
from semilayer_pipelines.embedders.local.probe import closeness
from semilayer_pipelines.embedders.local.sentence_transformers import SentenceTransformersEmbedder
from semilayer_pipelines.embedders.prompts import OwnPrompts
from semilayer_pipelines.errors import ConfigError
from tests.embedders.tiny_model import save_tiny_model
from tests.embedders.tiny_transformer import LIMIT, save_tiny_transformer

TEXTS = [
    "north",
    "the vectors of a search index",
    "rows in step with a table",
    "east " * 40,
    "",
]
SIDES = {"query": "search the index: ", "document": "rows: "}


def embedder(
    model: Path | str, *, built: BuiltWith | None = None, **settings: Any
) -> SentenceTransformersEmbedder:
    return SentenceTransformersEmbedder(EmbeddingConfig(model=str(model), **settings), built=built)


def library(folder: Path, call: str, texts: list[str], **settings: Any) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    made: NDArray[np.float32] = getattr(model, call)(texts, **settings)
    return made


MODELS: dict[str, Callable[[Path], Path]] = {
    "both sides": lambda at: save_tiny_transformer(at, prompts=SIDES),
    "a query prompt alone": lambda at: save_tiny_transformer(
        at, prompts={"query": "search the index: "}, dense=True
    ),
    "pooled without the prompt": lambda at: save_tiny_transformer(
        at, prompts=SIDES, include_prompt=False
    ),
    "pooled by the first token": lambda at: save_tiny_transformer(at, prompts=SIDES, pooling="cls"),
    "a default prompt": lambda at: save_tiny_transformer(
        at, prompts=SIDES, default_prompt_name="document"
    ),
    "a default prompt of no side": lambda at: save_tiny_transformer(
        at, prompts={"other": "of a table "}, default_prompt_name="other"
    ),
    "a prompt that the library leaves": lambda at: save_tiny_transformer(
        at, prompts={"passage": "rows: "}
    ),
    "no prompts": lambda at: save_tiny_transformer(at),
}


@pytest.mark.parametrize("kind", MODELS)
def test_each_side_has_the_vectors_of_the_librarys_own_call(tmp_path: Path, kind: str) -> None:
    folder = MODELS[kind](tmp_path)
    ours = embedder(folder)

    passages, queries = ours.embed(TEXTS), ours.embed_queries(TEXTS)

    assert closeness(passages.vectors, library(folder, "encode_document", TEXTS)).least > 0.9999
    assert closeness(queries.vectors, library(folder, "encode_query", TEXTS)).least > 0.9999


@pytest.mark.parametrize("kind", MODELS)
def test_an_index_from_before_there_were_sides_is_embedded_as_it_was(
    tmp_path: Path, kind: str
) -> None:
    folder = MODELS[kind](tmp_path)
    as_it_was = embedder(folder, built=BuiltWith(None))

    vectors = as_it_was.embed(TEXTS).vectors

    assert closeness(vectors, library(folder, "encode", TEXTS)).least > 0.9999
    assert as_it_was.fingerprint == f"sentence-transformers:{vector_space(as_it_was._source)}"


def test_a_question_to_an_index_without_the_passages_prompt_has_none_either(
    tmp_path: Path,
) -> None:
    folder = save_tiny_transformer(tmp_path, prompts=SIDES)

    old = embedder(folder, built=BuiltWith(None)).embed_queries(TEXTS).vectors
    new = embedder(folder, built=BuiltWith("rows: ")).embed_queries(TEXTS).vectors

    assert closeness(old, library(folder, "encode", TEXTS)).least > 0.9999
    assert closeness(new, library(folder, "encode_query", TEXTS)).least > 0.9999


def test_a_query_prompt_alone_is_used_for_every_index_at_once(tmp_path: Path) -> None:
    folder = save_tiny_transformer(tmp_path, prompts={"query": "search the index: "})

    old = embedder(folder, built=BuiltWith(None))

    wanted = library(folder, "encode_query", TEXTS)
    assert closeness(old.embed_queries(TEXTS).vectors, wanted).least > 0.9999
    assert old.fingerprint == embedder(folder).fingerprint


@pytest.mark.parametrize(
    ("prompts", "query", "passage"),
    [
        ({"query": "north "}, "north ", "rows: "),
        ({"passage": "east "}, "search the index: ", "east "),
        ({"query": "", "passage": ""}, "", ""),
    ],
)
def test_a_lens_sets_each_side_by_itself_and_an_empty_text_is_none(
    tmp_path: Path, prompts: dict[str, str], query: str, passage: str
) -> None:
    folder = save_tiny_transformer(tmp_path, prompts=SIDES)
    ours = embedder(folder, prompts=prompts)

    wanted = [library(folder, "encode", TEXTS, prompt=prompt) for prompt in (passage, query)]

    assert closeness(ours.embed(TEXTS).vectors, wanted[0]).least > 0.9999
    assert closeness(ours.embed_queries(TEXTS).vectors, wanted[1]).least > 0.9999


def test_only_the_passages_side_is_another_space(tmp_path: Path) -> None:
    bare = save_tiny_transformer(tmp_path / "bare")
    plain = embedder(bare).fingerprint

    assert plain == f"sentence-transformers:{vector_space(embedder(bare)._source)}"
    assert embedder(bare, prompts={"query": "q: "}).fingerprint == plain
    assert embedder(bare, prompts={"passage": ""}).fingerprint == plain
    passages = {embedder(bare, prompts={"passage": p}).fingerprint for p in ("p: ", "p:", "q: ")}
    assert len(passages | {plain}) == 4


def test_the_models_own_prompt_and_the_same_one_written_down_are_one_space(
    tmp_path: Path,
) -> None:
    folder = save_tiny_transformer(tmp_path, prompts=SIDES)

    written = embedder(folder, prompts={"passage": SIDES["document"]})

    assert written.fingerprint == embedder(folder).fingerprint


def test_tokens_and_cuts_count_the_prompt(tmp_path: Path) -> None:
    folder = save_tiny_transformer(tmp_path, prompts={"document": "the rows of a table "})
    fits_alone = "north " * (LIMIT - 2)

    bare, behind = embedder(folder, prompts={"passage": ""}), embedder(folder)

    assert bare.embed(["north", fits_alone]).truncated.tolist() == [False, False]
    done = behind.embed(["north", fits_alone])
    assert done.truncated.tolist() == [False, True]
    assert done.tokens is not None
    assert done.tokens.tolist() == [2 + 5 + 1, LIMIT]


@pytest.mark.parametrize("include_prompt", [True, False])
def test_a_prompt_that_leaves_no_room_is_told_and_no_row_is_blamed(
    tmp_path: Path, include_prompt: bool
) -> None:
    folder = save_tiny_transformer(tmp_path, include_prompt=include_prompt)
    for tokens, room in ((LIMIT - 3, True), (LIMIT - 2, False)):
        ours = embedder(folder, prompts={"passage": "north " * tokens})
        if room:
            assert ours.embed(["east"]).vectors.shape == (1, 32)
            continue
        with pytest.raises(ConfigError, match=rf"'north .*…' leaves no room.*reads {LIMIT} tokens"):
            ours.embed(["east"])


def test_equal_texts_of_two_sides_are_not_taken_for_one(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "words")  # averages the vectors of words
    ours = embedder(folder, prompts={"query": "north ", "passage": "east "})

    assert ours.embed(["east"]).vectors.tolist() == [[1, 0]]
    assert ours.embed_queries(["east"]).vectors.tolist() == [[0.5, 0.5]]


class TestKnownWithoutTheModel:
    """What an index would be built with, from files alone."""

    def test_the_default_model_brings_none(self) -> None:
        assert own_prompts(embedder(DEFAULT_MODEL)._source) == OwnPrompts()
        assert known_build(EmbeddingConfig()) == BuiltWith(None)

    def test_a_folders_prompts_are_read_from_its_configuration(self, tmp_path: Path) -> None:
        folder = save_tiny_transformer(tmp_path, prompts=SIDES)

        assert known_build(EmbeddingConfig(model=str(folder))) == BuiltWith("rows: ")
        silent = EmbeddingConfig(model=str(folder), prompts=PromptsConfig(passage=""))
        assert known_build(silent) == BuiltWith(None)

    def test_a_model_of_the_hub_is_known_by_its_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Given a cache as the hub's own library leaves it behind.
        monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
        at = tmp_path / "models--nobody--tiny"
        snapshot = at / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (at / "refs").mkdir()
        (at / "refs" / "main").write_text("0" * 40)
        config = EmbeddingConfig(model="nobody/tiny")

        assert known_build(config) is None
        (snapshot / "modules.json").write_text("[]")
        assert known_build(config) == BuiltWith(None)
        told = {"prompts": {"document": "d: ", "query": None}}
        (snapshot / "config_sentence_transformers.json").write_text(json.dumps(told))
        assert known_build(config) == BuiltWith("d: ")

    def test_a_model_that_nobody_can_tell_of_is_taken_to_bring_none(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        config = EmbeddingConfig(model="nobody/no-such-model")

        assert build_of(config, environ={}) == BuiltWith(None)
        assert "Whether nobody/no-such-model brings prompts is not known" in caplog.text
