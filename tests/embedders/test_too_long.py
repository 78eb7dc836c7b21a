"""Texts longer than an HTTP endpoint takes are cut and told; a broken endpoint is not cut for."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from semilayer_pipelines.embedders.too_long import MAX_HALVINGS, SHORT_CHARACTERS, names_a_length
from semilayer_pipelines.errors import EmbeddingRejected, ModelUnavailable
from semilayer_pipelines.ingest.embed import embed_page
from tests.embedders.conftest import Embedding
from tests.embedders.endpoint import Endpoint, Reply

# As hosted services and servers for one's own models answer.
REFUSALS = [
    (400, "This model's maximum context length is 8192 tokens, however you requested 10001 tokens"),
    (400, "the input length exceeds the context length"),
    (400, "Input id 0 has 17000 tokens, exceeding max 16384 tokens."),
    (400, "The example at index 0 in your batch has too many tokens"),
    (413, "Payload Too Large"),
    (413, "`inputs` must have less than 512 tokens. Given: 1024"),
    (422, "body.input.0: String should have at most 4096 characters: string_too_long"),
    (500, "input is too large to process. increase the physical batch size"),
    (400, "Invalid 'input': maximum input length is 8192 tokens."),
    (400, "Requested 400000 tokens, max 300000 tokens per request"),
    (400, "Invalid 'input': array too long. Expected an array with maximum length 2048"),
    (400, "The max allowed tokens per submitted batch is 120000. Your batch has 124302 tokens"),
    (400, "Too many tokens in batch. Max is 16384 got 17555"),
    (400, "Too many tokens overall, split into more batches."),
    (400, "Too many inputs in request, split into more batches."),
    (400, "invalid request: total number of texts must be at most 96 - received 131"),
    (400, "input length is larger than the largest allowed size 2048"),
    (422, "'body -> jina-embeddings-v4' Each input list can contain at most 512 items."),
    (422, "batch size 128 > maximum allowed batch size 32"),
    (400, "batch size is invalid, it should not be larger than 10.: input.contents"),
    (400, "expected maxLength: 2048, actual: 2459"),
    (400, "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"),
    (400, "the input token count is 3000 but the model supports up to 2048. Reduce it"),
    (
        429,
        (
            "Request too large for text-embedding-3-small on tokens per min (TPM): Limit 40000, "
            "Requested 50000."
        ),
    ),
]
OTHERS = [
    (400, "input is invalid"),
    (400, "no such deployment"),
    (401, "invalid token"),
    (429, "rate limit: too many tokens per minute"),
    (429, "Rate limit reached on tokens per min (TPM): Limit 40000, Used 39000, Requested 5000."),
    (422, "the content was filtered"),
    (500, "internal error"),
    (500, "too many requests in the queue"),
    (400, "Billing hard limit has been reached"),
]


def refusal(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": {"message": message}}).encode())


def takes_at_most(
    characters: int, status: int = REFUSALS[0][0], message: str = REFUSALS[0][1]
) -> Callable[[list[str]], Reply | None]:
    """Return a rule for an endpoint that refuses each call with a longer text."""
    refused = refusal(status, message)
    return lambda texts: refused if any(len(text) > characters for text in texts) else None


@pytest.mark.parametrize(("status", "message"), REFUSALS)
def test_a_refusal_for_the_length_is_known_in_the_words_of_many(status: int, message: str) -> None:
    assert names_a_length(status, refusal(status, message).body)


@pytest.mark.parametrize(("status", "message"), OTHERS)
def test_any_other_refusal_is_none_for_the_length(status: int, message: str) -> None:
    assert not names_a_length(status, refusal(status, message).body)


@pytest.mark.parametrize(("status", "message"), REFUSALS[:9])
def test_a_text_that_is_too_long_is_cut_and_counted_and_the_others_are_not(
    endpoint: Endpoint, embedding: Embedding, status: int, message: str
) -> None:
    endpoint.rule = takes_at_most(1_000, status, message)
    texts = ["short", "x" * 1_500, "y" * 999, "z" * 7_000]

    done = embedding.embed(texts)

    assert done.truncated.tolist() == [False, True, False, True]
    assert done.vectors[:, 0].tolist() == [5, 750, 999, 875]
    assert len(endpoint.asked) <= 15


def test_a_limit_for_the_whole_call_cuts_no_text(endpoint: Endpoint, embedding: Embedding) -> None:
    too_many = refusal(400, "Requested 400000 tokens, max 300000 tokens per request")
    endpoint.rule = lambda texts: too_many if sum(map(len, texts)) > 1_000 else None

    done = embedding.embed([f"{n:0400}" for n in range(10)])

    assert not done.truncated.any()
    assert done.vectors[:, 0].tolist() == [400] * 10


def test_a_text_whose_beginning_is_white_space_is_not_cut_to_nothing(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    endpoint.rule = takes_at_most(1_000)

    done = embedding.embed([" " * 5_000 + "words " * 300])

    assert endpoint.asked[-1][0].startswith("words")
    assert done.truncated.tolist() == [True]


def test_a_text_is_halved_so_often_and_no_more(endpoint: Endpoint, embedding: Embedding) -> None:
    # given an endpoint that takes the beginning, and then nothing that is any longer
    endpoint.rule = lambda texts: (
        refusal(*REFUSALS[0]) if len(texts[0]) > SHORT_CHARACTERS else None
    )

    with pytest.raises(EmbeddingRejected, match="maximum context length") as refused:
        embedding.embed(["x" * (SHORT_CHARACTERS * 2 ** (MAX_HALVINGS + 1) + 1), "short"])

    assert refused.value.positions == (0,)
    assert len(endpoint.asked) <= MAX_HALVINGS + 5


def test_one_row_fails_alone_when_even_its_beginning_is_refused(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    poison = refusal(400, "the text is too long for reasons of its own")
    endpoint.rule = lambda texts: poison if any("poison" in text for text in texts) else None
    texts = ["fine", "poison " * 100, "y" * 500, "poison"]

    page = embed_page(embedding.embedder, texts)

    assert sorted(page.rejected) == [1, 3]
    assert page.kept.tolist() == [0, 2]
    assert page.truncated == 0


@pytest.mark.parametrize("length", [10, 5_000])
def test_an_endpoint_that_finds_everything_too_long_is_found_out_soon(
    endpoint: Endpoint, embedding: Embedding, length: int
) -> None:
    endpoint.rule = lambda texts: refusal(*REFUSALS[0])

    with pytest.raises(ModelUnavailable, match="also a plain word"):
        embed_page(embedding.embedder, [f"{n:0{length}}" for n in range(500)])

    assert len(endpoint.asked) <= 25


def test_a_page_of_two_rows_tells_a_broken_endpoint_from_two_bad_rows(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    endpoint.rule = lambda texts: refusal(400, "no such deployment")

    with pytest.raises(ModelUnavailable, match="no such deployment"):
        embed_page(embedding.embedder, ["one", "two"])
