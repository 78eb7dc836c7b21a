"""Which rows are cut, and what their chunks hold."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.chunking.rules import check_size
from semilayer_pipelines.chunking.split import AT, COLUMNS, splitter
from semilayer_pipelines.embedders import BuiltWith, open_embedder
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.mapping.plan import TEXT
from semilayer_pipelines.stores.chunks.protocol import END, FIELD, ORDINAL, START
from tests.chunking.making import LIMIT, SEARCHABLE, lens, made, rows, sentences, tokens


def test_a_row_that_fits_is_left_whole_and_a_long_one_is_cut_in_order() -> None:
    body = sentences(100)

    chunks = made().split(rows(("a", "short"), ("Title", body), ("b", "short too")))

    assert chunks.schema == COLUMNS
    assert set(chunks[AT]) == {1}
    assert chunks[ORDINAL].to_list() == list(range(chunks.height))
    assert set(chunks[FIELD]) == {"body"}
    assert chunks[START].is_sorted()
    for start, end, text in chunks.select(START, END, TEXT).iter_rows():
        assert text == f"Title\n{body[start:end]}"
    assert " ".join(text.removeprefix("Title\n") for text in chunks[TEXT]) == body


def test_the_exact_limit_decides() -> None:
    # Each word is a token, and so is the title; the model adds two.
    fits = "word " * (LIMIT - 3)
    texts = rows(("title", fits), ("title", fits + "word"))

    chunks = made().split(texts)

    assert tokens(texts[TEXT].to_list()).tolist() == [LIMIT, LIMIT + 1]
    assert set(chunks[AT]) == {1}


def test_no_rows_and_rows_that_all_fit_give_an_empty_frame_of_the_same_columns() -> None:
    cut = made()

    for frame in (rows(("a", "b")).clear(), rows(("a", "b"), (None, None))):
        assert cut.split(frame).schema == COLUMNS
        assert cut.split(frame).is_empty()


def test_what_cannot_exceed_is_known_by_its_bytes() -> None:
    cut = made()
    texts = pl.Series(["", "x" * (LIMIT - 2), "x" * (LIMIT - 1), "ü" * (LIMIT // 2)])

    assert cut.may_exceed(texts).to_list() == [False, False, True, True]


def test_positions_count_characters_and_not_bytes() -> None:
    body = "Größe 漢字 🙂 läßt Übel. " * 200

    chunks = made().split(rows(("Ü", body)))

    assert chunks.height > 5
    for start, end, text in chunks.select(START, END, TEXT).iter_rows():
        assert text == f"Ü\n{body[start:end]}"


def test_several_long_fields_are_cut_one_after_the_other() -> None:
    long = {"summary": SEARCHABLE, "title": SEARCHABLE, "body": SEARCHABLE}
    frame = pl.DataFrame(
        {"summary": [sentences(40)], "title": ["Title"], "body": [sentences(40, first=40)]}
    ).with_columns(pl.concat_str("summary", "title", "body", separator="\n").alias(TEXT))

    chunks = made(fields=long).split(frame)

    assert chunks[FIELD].unique(maintain_order=True).to_list() == ["summary", "body"]
    assert chunks[ORDINAL].to_list() == list(range(chunks.height))
    assert all(text.startswith("Title\n") for text in chunks[TEXT])


def test_a_weight_repeats_a_short_field_before_each_chunk_but_no_chunk() -> None:
    fields = {
        "title": SEARCHABLE | {"searchable": {"weight": 2}},
        "body": SEARCHABLE | {"searchable": {"weight": 3}},
    }
    body = sentences(60)

    chunks = made(fields=fields).split(rows(("Title", body)))

    for start, end, text in chunks.select(START, END, TEXT).iter_rows():
        assert text == f"Title\nTitle\n{body[start:end]}"


def test_a_list_is_cut_as_the_text_that_is_embedded() -> None:
    fields = {"title": SEARCHABLE, "notes": SEARCHABLE | {"array": True}}
    notes = [sentences(3, first=n) for n in range(40)]
    frame = pl.DataFrame({"title": ["T"], "notes": [notes], TEXT: ["T\n" + ", ".join(notes)]})

    chunks = made(fields=fields).split(frame)

    assert chunks.height > 5
    for start, end, text in chunks.select(START, END, TEXT).iter_rows():
        assert text == f"T\n{', '.join(notes)[start:end]}"


def test_only_the_fields_that_are_named_are_cut_and_the_others_stand_before_shortened() -> None:
    title, body = sentences(30), sentences(50, first=50)

    chunks = made(chunking={"fields": "body"}).split(rows((title, body)))

    assert set(chunks[FIELD]) == {"body"}
    before = {text.removesuffix(body[s:e]) for s, e, text in chunks[START, END, TEXT].iter_rows()}
    (shortened,) = before
    assert title.startswith(shortened.strip())
    assert 0 < tokens([shortened])[0] <= LIMIT // 2 + 2
    assert tokens(chunks[TEXT].to_list()).max() <= LIMIT


def test_a_size_is_held_and_rows_up_to_it_are_left_whole() -> None:
    cut = made(chunking={"size": 64})

    chunks = cut.split(rows(("T", sentences(2)), ("T", sentences(40))))

    assert set(chunks[AT]) == {1}
    assert tokens(chunks[TEXT].to_list()).max() <= 64


def test_an_overlap_repeats_the_end_of_the_chunk_before() -> None:
    body = sentences(60)

    chunks = made(chunking={"overlap": 40}).split(rows(("T", body)))

    ends = chunks[END][:-1].to_list()
    repeated = [body[s:e] for s, e in zip(chunks[START][1:].to_list(), ends, strict=True)]
    assert all(repeated)
    assert all(one.startswith("Sentence") and one.endswith(".") for one in repeated)
    assert tokens(repeated).max() <= 40 + 2
    assert tokens(chunks[TEXT].to_list()).max() <= LIMIT


def test_an_overlap_smaller_than_a_sentence_repeats_words() -> None:
    body = sentences(60)

    chunks = made(chunking={"overlap": 6}).split(rows(("T", body)))

    starts, ends = chunks[START][1:].to_list(), chunks[END][:-1].to_list()
    assert all(body[start - 1] == " " for start in starts)
    assert all(start < end for start, end in zip(starts, ends, strict=True))


@pytest.mark.parametrize(("by", "joint"), [("paragraph", "\n\n"), ("sentence", " ")])
def test_each_paragraph_or_sentence_can_have_a_chunk_of_its_own(by: str, joint: str) -> None:
    parts = [sentences(1, first=n) for n in range(40)]

    chunks = made(chunking={"by": by}).split(rows(("T", joint.join(parts))))

    assert chunks[TEXT].to_list() == [f"T\n{part}" for part in parts]


def test_headings_are_cut_before_paragraphs_and_these_before_sentences() -> None:
    body = "\n\n".join(f"## Part {n}\n\n{sentences(4, first=n * 9)}" for n in range(12))

    chunks = made().split(rows(("T", body)))

    assert all(text.startswith("T\n## Part ") for text in chunks[TEXT])


def test_off_cuts_nothing_and_neither_does_a_model_without_a_known_limit() -> None:
    endpoint = {"provider": "openai", "url": "http://localhost:1/v1", "model": "m"}
    for changed in (
        {"chunking": "off"},
        {"embedding": {"provider": "hash"}},
        {"embedding": endpoint},
    ):
        config = lens(**changed)
        embedder = open_embedder(config.embedding, environ={})
        assert splitter(config, embedder, BuiltWith(None)) is None


def test_an_endpoint_with_a_size_is_cut_by_an_estimate() -> None:
    endpoint = {"provider": "openai", "url": "http://localhost:1/v1", "model": "m"}
    cut = made(embedding=endpoint, chunking={"size": 100})

    chunks = cut.split(rows(("T", "short"), ("T", sentences(40))))

    assert set(chunks[AT]) == {1}
    assert chunks[TEXT].str.len_bytes().max() <= 300  # type: ignore[operator]


def test_a_size_beyond_the_model_is_refused_with_the_limit() -> None:
    with pytest.raises(ConfigError, match=r"chunk of 400 tokens is more than .* reads, 256"):
        made(chunking={"size": 400})


def test_the_fingerprint_names_what_decides_where_texts_are_cut() -> None:
    weighted = {"title": SEARCHABLE | {"searchable": {"weight": 2}}, "body": SEARCHABLE}
    changes: list[dict[str, Any]] = [
        {},
        {"chunking": {"size": 100}},
        {"chunking": {"size": 100, "overlap": 10}},
        {"chunking": {"by": "sentence"}},
        {"chunking": {"fields": ["body"]}},
        {"fields": weighted},
    ]

    fingerprints = [made(**change).fingerprint for change in changes]

    assert len(set(fingerprints)) == len(changes)
    assert made(chunking="auto", guard=0.5).fingerprint == fingerprints[0]


def test_a_push_refuses_a_size_beyond_the_model_and_bears_with_one_that_it_cannot_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(**changed: Any) -> None:
        config = lens(**changed)
        check_size(config, open_embedder(config.embedding, environ={}))

    check(chunking={"size": 256})
    with pytest.raises(ConfigError, match="Write 'size: 256' or less"):
        check(chunking={"size": 257})

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    check(embedding={"model": "nobody/nothing"}, chunking={"size": 257})


def test_the_prompt_before_each_passage_counts_too() -> None:
    prompt = "search_document, for a reader in a hurry: "
    cut = made(embedding={"prompts": {"passage": prompt}})
    words = rows(("title", "word " * (LIMIT - 3)))

    chunks = cut.split(pl.concat([words, rows(("title", sentences(60)))]))

    assert set(chunks[AT]) == {0, 1}
    assert tokens([prompt + text for text in chunks[TEXT]]).max() <= LIMIT
