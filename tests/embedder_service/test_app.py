"""`POST /v1/embeddings` and `GET /v1/models`: what OpenAI's clients expect, and what is refused."""

import base64
from typing import Any

import numpy as np
import pytest

from tests.embedder_service.service import (
    DIMENSION,
    MODEL,
    Service,
    WatchedEmbedder,
    vectors_in,
    vectors_of,
)


def test_vectors_come_in_the_order_of_the_texts(
    service: Service, embedder: WatchedEmbedder
) -> None:
    texts = ["bb", "a" * 50, "c", "", "bb", "größer 検索"]

    response = service.ask(texts)

    assert vectors_in(response) == vectors_of(texts)
    assert response.json()["object"] == "list"
    assert response.json()["model"] == MODEL


def test_one_text_may_be_given_without_a_list(service: Service) -> None:
    assert vectors_in(service.ask("alone")) == vectors_of(["alone"])


def test_base64_holds_the_same_numbers(service: Service) -> None:
    texts = ["north", "east"]

    packed = [
        item["embedding"] for item in service.ask(texts, encoding_format="base64").json()["data"]
    ]

    unpacked = [np.frombuffer(base64.b64decode(text), "<f4").tolist() for text in packed]
    assert unpacked == vectors_in(service.ask(texts, encoding_format="float")) == vectors_of(texts)


def test_an_answer_counts_tokens_and_says_which_texts_were_cut(service: Service) -> None:
    answer = service.ask(["x" * 101, "four"]).json()

    assert answer["usage"] == {"prompt_tokens": 105, "total_tokens": 105}
    assert answer["truncated"] == [True, False]


def test_what_a_client_may_add_changes_nothing(service: Service) -> None:
    added = service.ask(["a"], user="u-1", dimensions=DIMENSION, whatever=[1])

    assert vectors_in(added) == vectors_of(["a"])


def test_the_model_may_be_asked_for_by_its_space(
    service: Service, embedder: WatchedEmbedder
) -> None:
    assert vectors_in(service.ask(["a"], model=embedder.fingerprint)) == vectors_of(["a"])


def test_the_list_of_models_names_space_and_dimension(
    service: Service, embedder: WatchedEmbedder
) -> None:
    listed = service.http.get("/v1/models").json()

    [entry] = listed["data"]
    assert (entry["id"], entry["object"]) == (MODEL, "model")
    assert (entry["fingerprint"], entry["dimension"]) == (embedder.fingerprint, DIMENSION)


@pytest.mark.parametrize(
    ("fields", "status", "param", "said"),
    [
        ({"model": "another"}, 404, "model", "'another' is not served here"),
        ({"model": None}, 400, "model", MODEL),
        ({"dimensions": DIMENSION + 1}, 400, "dimensions", str(DIMENSION)),
        ({"encoding_format": "int8"}, 400, "encoding_format", "base64"),
        ({"encoding_format": ["float"]}, 400, "encoding_format", "base64"),
        ({"texts": []}, 400, "input", "list of texts"),
        ({"texts": None}, 400, "input", "list of texts"),
        ({"texts": [1, 2, 3]}, 400, "input", "position 0"),
        ({"texts": ["a", None]}, 400, "input", "position 1"),
        ({"texts": ["a", "b \ud800"]}, 400, "input", "positions 1"),
        ({"texts": ["a"] * 2049}, 400, "input", "2048"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    service: Service,
    embedder: WatchedEmbedder,
    fields: dict[str, Any],
    status: int,
    param: str,
    said: str,
) -> None:
    response = service.ask(**{"texts": ["a"], **fields})

    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param)
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"
    assert embedder.calls == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"a"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(service: Service, body: bytes) -> None:
    response = service.http.post("/v1/embeddings", content=body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_json"


def test_other_addresses_and_methods_are_refused_in_the_same_shape(service: Service) -> None:
    nowhere, wrong = service.http.get("/v2"), service.http.get("/v1/embeddings")

    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "unknown_url")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
