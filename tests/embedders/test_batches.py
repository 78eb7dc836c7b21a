"""Texts are cut into requests that the provider takes, by estimates that follow what it counts."""

import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.batches import Batches
from semilayer_pipelines.embedders.providers import MAX_BATCH_TEXTS, Takes, takes


@pytest.mark.parametrize(
    ("url", "model", "texts", "tokens", "base64", "batches"),
    [
        ("https://api.openai.com/v1", "text-embedding-3-small", 2_048, 270_000, True, True),
        ("https://eu.api.openai.com/v1", "text-embedding-3-small", 2_048, 270_000, True, True),
        ("https://me.openai.azure.com/openai/v1", "mine", 2_048, 270_000, True, False),
        ("https://api.cohere.ai/compatibility/v1", "embed-v4.0", 96, 115_200, False, False),
        ("https://api.voyageai.com/v1", "voyage-3-large", 1_000, 108_000, True, False),
        ("https://api.voyageai.com/v1", "voyage-3.5-lite", 1_000, 900_000, True, False),
        ("https://api.mistral.ai/v1", "mistral-embed", 512, 14_745, True, False),
        ("https://api.jina.ai/v1", "jina-embeddings-v3", 512, 90_000, False, False),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "gemini-embedding-001",
            *(100, 45_000, False, False),
        ),
        ("https://api.openai.com.example.org/v1", "m", MAX_BATCH_TEXTS, 45_000, False, None),
        ("http://localhost:80/v1", "text-embedding-3-small", MAX_BATCH_TEXTS, 45_000, False, None),
        ("${BASE}/v1", "m", MAX_BATCH_TEXTS, 45_000, False, None),
    ],
)
def test_what_a_provider_takes_is_known_by_its_address(
    url: str, model: str, texts: int, tokens: int, base64: bool, batches: bool | None
) -> None:
    config = EmbeddingConfig(provider="openai", url=url, model=model)

    assert takes(config) == Takes(texts, tokens, base64, batches)


def test_a_lens_names_its_own_limits() -> None:
    config = EmbeddingConfig(
        provider="openai",
        url="https://api.openai.com/v1",
        max_batch_texts=10,
        max_batch_tokens=1_000,
    )

    assert takes(config) == Takes(10, 1_000, base64=True, batches=True)


def test_a_request_is_no_larger_than_its_minute() -> None:
    config = EmbeddingConfig(
        provider="openai", url="https://api.openai.com/v1", tokens_per_minute=2_000
    )

    assert takes(config).tokens == 2_000


def test_few_texts_are_spread_and_many_fill_their_requests() -> None:
    batches = Batches(Takes(100, 10_000))

    assert [len(batch) for batch in batches.cut(["a"] * 20, spread=8)] == [20]
    assert [len(batch) for batch in batches.cut(["a"] * 400, spread=8)] == [50] * 8
    assert [len(batch) for batch in batches.cut(["a"] * 2_000, spread=8)] == [100] * 20


def test_the_estimate_follows_what_an_endpoint_counts() -> None:
    batches = Batches(Takes(1_000, 1_000))
    english = ["four letters a token " * 20]
    cautious = batches.tokens(english)

    for _ in range(40):
        batches.charged(english, 100)

    assert 100 <= batches.tokens(english) <= 0.6 * cautious


def test_texts_that_have_more_tokens_than_thought_count_at_once() -> None:
    batches = Batches(Takes(1_000, 1_000))
    dense = ["漢字" * 50]

    batches.charged(dense, 400)

    assert batches.tokens(dense) >= 400


def test_no_request_has_too_many_tokens_unless_one_text_has() -> None:
    batches = Batches(Takes(1_000, 100))
    texts = ["x" * 150, "y" * 60, "z" * 60, "a" * 5_000, "b"]

    cut = [*batches.cut(texts, spread=1)]

    assert [text for batch in cut for text in batch] == texts
    assert all(len(batch) == 1 or batches.tokens(batch) <= 100 for batch in cut)


def test_a_refusal_lowers_the_bound_that_it_names() -> None:
    by_count, by_tokens = Batches(Takes(100, 10_000)), Batches(Takes(100, 10_000))

    by_count.refused(["a"] * 25, "at most 30 texts")
    by_tokens.refused(["a" * 40] * 25, "too many tokens")

    assert {len(batch) for batch in by_count.cut(["a"] * 100, spread=1)} == {25}
    assert {len(batch) for batch in by_tokens.cut(["a" * 40] * 100, spread=1)} == {25}
