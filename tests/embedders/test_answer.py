"""An answer is used only when it is certain which vector belongs to which text."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from semilayer_pipelines.embedders.answer import error_text, read_answer
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected, ModelUnavailable

ENDPOINT = "http://localhost:1/v1/embeddings"


def answer(*items: dict[str, Any]) -> bytes:
    return json.dumps({"object": "list", "data": list(items)}).encode()


def saying(more: dict[str, Any]) -> bytes:
    """Return the answer for two texts that says more than the vectors."""
    return json.dumps(json.loads(answer({"embedding": [1]}, {"embedding": [2]})) | more).encode()


def test_vectors_are_put_in_the_order_of_their_index() -> None:
    body = answer({"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]})

    assert read_answer(body, 2, ENDPOINT).vectors.tolist() == [[1, 2], [3, 4]]


def test_without_an_index_the_order_of_the_answer_counts() -> None:
    body = answer({"embedding": [1, 2]}, {"embedding": [3, 4]})

    assert read_answer(body, 2, ENDPOINT).vectors.tolist() == [[1, 2], [3, 4]]


def test_an_index_of_zero_that_is_left_out_is_zero_wherever_it_stands() -> None:
    body = answer({"index": 1, "embedding": [3, 4]}, {"embedding": [1, 2]})

    assert read_answer(body, 2, ENDPOINT).vectors.tolist() == [[1, 2], [3, 4]]


def test_base64_is_little_endian_float32() -> None:
    packed = base64.b64encode(np.array([1.5, -2.0], "<f4").tobytes()).decode()

    vectors = read_answer(answer({"index": 0, "embedding": packed}), 1, ENDPOINT).vectors

    assert vectors.tolist() == [[1.5, -2.0]]
    assert vectors.dtype == np.float32


def test_an_endpoint_may_say_which_texts_it_cut() -> None:
    items = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    told = json.dumps({"data": items, "truncated": [True, False]}).encode()

    assert read_answer(told, 2, ENDPOINT).truncated.tolist() == [True, False]
    assert read_answer(answer(*items), 2, ENDPOINT).truncated.tolist() == [False, False]


@pytest.mark.parametrize(
    "items",
    [
        [{"index": 0, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [2]}],
        [{"index": 0, "embedding": [1]}, {"index": 2, "embedding": [2]}],
        [{"index": 0, "embedding": [1]}, {"embedding": [2]}],
        [{"index": 2, "embedding": [1]}, {"embedding": [2]}],
        [{"index": 0, "embedding": [1]}, {"index": True, "embedding": [2]}],
        [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": "%%%"}],
        [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": ["one"]}],
        [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": None}],
        [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [10**400]}],
        [{"index": 0, "embedding": [1]}, {"index": 1}],
    ],
)
def test_missing_doubled_or_unreadable_vectors_are_refused(items: list[dict[str, Any]]) -> None:
    with pytest.raises(EmbeddingRejected):
        read_answer(answer(*items), 2, ENDPOINT)


def test_vectors_of_two_lengths_are_two_models() -> None:
    body = answer({"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]})

    with pytest.raises(DimensionChanged, match=r"\[1, 2\]"):
        read_answer(body, 2, ENDPOINT)


@pytest.mark.parametrize("body", [b'{"error": {"message": "no"}}', b"[]", b'{"data": [1]}'])
def test_what_is_no_embedding_answer_names_the_endpoint(body: bytes) -> None:
    with pytest.raises(ModelUnavailable, match="localhost:1") as caught:
        read_answer(body, 1, ENDPOINT)

    assert "embedding.url" in caught.value.cure


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "too\\nlong", "type": "x"}}', "too long"),
        (b'{"error": "overloaded"}', "overloaded"),
        (b'{"detail": "nope"}', "nope"),
        (b'[{"error": {"code": 400, "message": "of Gemini"}}]', "of Gemini"),
        (b"plain  text\n", "plain text"),
        (b"x" * 1000, "x" * 300 + "…"),
    ],
)
def test_the_endpoints_own_words_fit_on_one_line(body: bytes, said: str) -> None:
    assert error_text(body) == said


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({"tokens": [3, 4]}, [3, 4]),
        ({"tokens": [3, 4], "usage": {"prompt_tokens": 9}}, [3, 4]),
        ({"usage": {"prompt_tokens": 9, "total_tokens": 9}}, [4, 5]),
        ({"usage": {"total_tokens": 4}}, [2, 2]),
        ({"usage": {"prompt_tokens": 0}}, [0, 0]),
    ],
)
def test_tokens_are_read_from_the_answer(said: dict[str, Any], tokens: list[int]) -> None:
    read = read_answer(saying(said), 2, ENDPOINT)

    assert read.tokens is not None
    assert read.tokens.tolist() == tokens


@pytest.mark.parametrize(
    "said",
    [{}, {"usage": None}, {"usage": {"prompt_tokens": True}}, {"usage": {"prompt_tokens": "9"}},
     {"tokens": [1]}, {"tokens": [1, -1]}],
)  # fmt: skip
def test_an_answer_without_usage_tells_no_tokens(said: dict[str, Any]) -> None:
    assert read_answer(saying(said), 2, ENDPOINT).tokens is None
