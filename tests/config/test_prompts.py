"""What a lens may say about prompts, fields of requests and a reranker, and what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from semilayer_pipelines.config.load import load_config
from semilayer_pipelines.config.prompts import MAX_PROMPT_CHARACTERS, PromptsConfig
from tests.config.test_load import lens, refusal, written

FIELDS = "      a: {type: text, searchable: true}\n"
AT = "sl.config.yaml:9: lenses.articles.embedding"


def embedding(body: str) -> str:
    return lens(FIELDS, more=f"    embedding:\n{body}")


def test_both_sides_may_be_set_and_an_empty_text_is_kept(tmp_path: Path) -> None:
    text = embedding("      prompts: {query: 'Search: ', passage: ''}\n")

    config = load_config(written(tmp_path, text)).lenses["articles"].embedding

    assert config.prompts == PromptsConfig(query="Search: ", passage="")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "      prompts: {qurey: 'x'}\n",
            f"{AT}.prompts.qurey: unknown key (did you mean 'query'?); there are query, passage",
        ),
        ("      prompts: {query: 3}\n", f"{AT}.prompts.query: expected a string; got 3"),
        (
            f"      prompts: {{query: {'x' * (MAX_PROMPT_CHARACTERS + 1)}}}\n",
            (
                f"{AT}.prompts.query: string should have at most {MAX_PROMPT_CHARACTERS} "
                f"characters; got 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"
            ),
        ),
        (
            "      request: {query: {input_type: query}}\n",
            (
                "sl.config.yaml:8: lenses.articles.embedding: provider: sentence-transformers has "
                "no 'request'; only openai sends one to an endpoint"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, body: str, told: str) -> None:
    assert refusal(tmp_path, embedding(body)) == [told]


def test_a_hash_has_no_prompts(tmp_path: Path) -> None:
    text = embedding("      provider: hash\n      prompts: {query: 'x: '}\n")

    assert refusal(tmp_path, text) == [
        (
            "sl.config.yaml:8: lenses.articles.embedding: provider: hash has no 'prompts'; "
            "its vectors mean nothing"
        )
    ]


def openai(request: str) -> str:
    return embedding(f"      provider: openai\n      url: http://h/v1\n      request: {request}\n")


@pytest.mark.parametrize("name", ["input", "model", "dimensions", "encoding_format"])
def test_fields_that_are_sent_already_are_refused(tmp_path: Path, name: str) -> None:
    [line] = refusal(tmp_path, openai(f"{{passage: {{{name}: x}}}}"))

    assert line.startswith(
        f"sl.config.yaml:11: lenses.articles.embedding.request.passage: {name!r} is sent already"
    )


@pytest.mark.parametrize(
    "fields",
    [
        "{api_key: hunter2hunter2}",
        "{auth: {token: hunter2hunter2}}",
        "{list: [{password: hunter2hunter2}]}",
        "{callback: 'https://me:hunter2hunter2@host/'}",
        "{token: '${TOKEN:-hunter2hunter2}'}",
    ],
)
def test_a_secret_in_a_field_is_refused_and_not_shown(tmp_path: Path, fields: str) -> None:
    [line] = refusal(tmp_path, openai(f"{{query: {fields}}}"))

    assert line.startswith("sl.config.yaml:11: lenses.articles.embedding.request.query: holds")
    assert "${VAR}" in line
    assert "hunter2" not in line


def test_a_secret_may_be_named_and_is_stored_as_it_is_written(tmp_path: Path) -> None:
    fields = "{query: {token: '${TOKEN}', task: retrieval.query, top: [1, 2.5, true, null]}}"

    config = load_config(written(tmp_path, openai(fields))).lenses["articles"]

    stored = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert stored["embedding"]["request"]["query"] == {
        "token": "${TOKEN}",
        "task": "retrieval.query",
        "top": [1, 2.5, True, None],
    }


def test_a_number_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    [line] = refusal(tmp_path, openai("{query: {top: .inf}}"))

    assert "request.query" in line
    assert ".inf" in line


def test_a_reranker_is_a_name(tmp_path: Path) -> None:
    good = written(tmp_path, lens(FIELDS, more="    rerank: org/model\n"))

    assert load_config(good).lenses["articles"].rerank == "org/model"
    [line] = refusal(tmp_path, lens(FIELDS, more="    rerank: {model: x}\n"))
    assert line.startswith("sl.config.yaml:8: lenses.articles.rerank: expected a string")
