"""Rows and questions at an endpoint: a prompt before each text, further fields in each request."""

import logging

import pytest

from semilayer_pipelines.embedders import BuiltWith
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from semilayer_pipelines.errors import ConfigError, ModelUnavailable
from tests.embedders.conftest import Embedding
from tests.embedders.endpoint import Endpoint, Reply

TASKS: dict[str, dict[str, object]] = {
    "query": {"input_type": "query", "task": {"name": "retrieval", "of": ["a", 1]}},
    "passage": {"input_type": "document"},
}


def test_each_side_has_its_prompt_before_every_text(endpoint: Endpoint) -> None:
    made = Embedding(endpoint.url, prompts={"query": "q: ", "passage": "p: "})

    made.embed(["a", "bb", "a"])
    made.embedder.embed_queries(["a"])

    assert endpoint.asked == [["p: bb", "p: a"], ["q: a"]]


def test_each_side_has_its_fields_in_the_request(endpoint: Endpoint) -> None:
    made = Embedding(endpoint.url, request=TASKS, dimensions=3)

    made.embed(["a"])
    made.embedder.embed_queries(["a"])

    assert endpoint.bodies == [
        {"model": "small", "input": ["a"], "dimensions": 3, **TASKS["passage"]},
        {"model": "small", "input": ["a"], "dimensions": 3, **TASKS["query"]},
    ]


def test_without_either_both_sides_are_asked_for_alike(endpoint: Endpoint) -> None:
    made = Embedding(endpoint.url)

    made.embed(["a"])
    made.embedder.embed_queries(["a"])

    assert endpoint.bodies == [{"model": "small", "input": ["a"]}] * 2
    assert made.embedder.fingerprint == "openai:small"


def test_only_the_passages_side_is_another_space() -> None:
    def fingerprint(**settings: object) -> str:
        return Embedding("http://localhost:1/v1", **settings).embedder.fingerprint

    plain = fingerprint()
    query_only = {"prompts": {"query": "q: "}, "request": {"query": {"input_type": "query"}}}
    assert fingerprint(**query_only) == plain
    assert fingerprint(prompts={"passage": ""}, request={"passage": {}}) == plain
    others = [
        fingerprint(prompts={"passage": "p: "}),
        fingerprint(prompts={"passage": "q: "}),
        fingerprint(request={"passage": {"input_type": "document"}}),
        fingerprint(request={"passage": {"input_type": "passage"}}),
        fingerprint(request={"passage": {"input_type": "passage"}}, prompts={"passage": "p: "}),
    ]
    assert len({plain, *others}) == 6
    assert fingerprint(request={"passage": {"a": 1, "b": 2}}) == fingerprint(
        request={"passage": {"b": 2, "a": 1}}
    )


def test_an_index_keeps_the_passages_prompt_that_it_was_built_with(endpoint: Endpoint) -> None:
    config = Embedding(endpoint.url, prompts={"passage": "new: "}).embedder._config
    old = OpenAIEmbedder(config, environ={}, built=BuiltWith(None))

    old.embed(["a"])
    old.close()

    assert endpoint.asked == [["a"]]
    assert old.fingerprint == "openai:small"


def test_a_text_that_is_too_long_is_cut_and_its_prompt_is_not(endpoint: Endpoint) -> None:
    # Given an endpoint that takes 1,000 characters.
    too_long = Reply(400, b'{"error": {"message": "maximum context length is 1000 tokens"}}')
    endpoint.rule = lambda texts: too_long if max(map(len, texts)) > 1_000 else None
    made = Embedding(endpoint.url, prompts={"passage": "a prompt: "})

    done = made.embed(["x" * 1_500, "short"])

    assert done.truncated.tolist() == [True, False]
    assert all(text.startswith("a prompt: ") for asked in endpoint.asked for text in asked)


def test_a_variable_in_a_field_is_filled_when_it_is_sent_and_shown_to_nobody(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = Embedding(endpoint.url, request={"passage": {"user": ["${TENANT_TOKEN}"]}})

    with pytest.raises(ConfigError, match=r"'request': the environment variable TENANT_TOKEN"):
        made.embed(["a"])
    made.environ["TENANT_TOKEN"] = "very-secret-tenant"
    made.embed(["a"])
    endpoint.replies.append(Reply(403, b"no such user: very-secret-tenant"))
    with pytest.raises(ModelUnavailable, match=r"no such user: \*\*\*") as caught:
        made.embed(["b"])

    assert endpoint.bodies[0]["user"] == ["very-secret-tenant"]
    assert "very-secret" not in f"{caught.value}{made.embedder.fingerprint}{caplog.text}"
