"""The service's second model: scored there when it has it, here when not, and never by another."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from semilayer_pipelines.embedder_service import open_model
from semilayer_pipelines.embedder_service.rerank import MAX_DOCUMENTS
from semilayer_pipelines.embedders.local import cross_encoder
from semilayer_pipelines.embedders.reranker import open_reranker
from semilayer_pipelines.errors import ModelUnavailable
from tests.embedder_service.service import (
    CONFIG,
    Service,
    WatchedEmbedder,
    running,
    wait_until_ready,
)
from tests.embedders.tiny_reranker import save_tiny_reranker, scores_of

TEXTS = ["north", "the vectors of a search index", "", "east " * 40, "rows in step"]
KEY = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_reranker(tmp_path_factory.mktemp("reranker"))


@pytest.fixture(autouse=True)
def _models_go_with_their_test() -> Iterator[None]:
    yield
    cross_encoder._loaded.clear()


@pytest.fixture
def serving(folder: Path) -> Iterator[Service]:
    with running(lambda: open_model(CONFIG, str(folder))) as service:
        wait_until_ready(service)
        yield service


def rerank(service: Service, **fields: Any) -> httpx.Response:
    return service.http.post("/v1/rerank", json=fields)


def test_scores_come_from_the_service_best_first_in_the_shape_of_others(
    serving: Service, folder: Path
) -> None:
    answer = rerank(serving, model=str(folder), query="search", documents=TEXTS)

    results = answer.json()["results"]
    scores = [one["relevance_score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    by_place = [score for _, score in sorted((o["index"], o["relevance_score"]) for o in results)]
    np.testing.assert_allclose(by_place, scores_of(folder, "search", TEXTS), atol=1e-5)
    assert [one["id"] for one in serving.http.get("/v1/models").json()["data"]] == [
        CONFIG.model,
        str(folder),
    ]


def test_a_search_uses_the_reranker_of_the_service(
    serving: Service, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = scores_of(folder, "search", TEXTS)
    through = open_reranker(str(folder), environ={}, service=serving.url)
    loaded = dict(cross_encoder._loaded)
    # Given that whoever loads it here is found out: the service runs in this process too.
    monkeypatch.setattr(through._local, "scores", None)  # type: ignore[attr-defined]

    scores = through.scores("search", TEXTS)

    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert cross_encoder._loaded == loaded


@pytest.mark.parametrize("other", [None, "another"])
def test_without_that_reranker_at_the_service_it_is_loaded_here_and_one_line_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, other: str | None
) -> None:
    served = None if other is None else str(save_tiny_reranker(tmp_path, seed=8))

    with running(lambda: open_model(CONFIG, served)) as service:
        wait_until_ready(service)
        through = open_reranker(str(folder), environ={}, service=service.url)
        for _ in range(2):
            scores = through.scores("search", TEXTS)

    np.testing.assert_allclose(scores, scores_of(folder, "search", TEXTS), atol=1e-5)
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "which is loaded here instead" in record.getMessage()


def test_a_replica_without_the_reranker_never_answers_in_its_place(folder: Path) -> None:
    with running(lambda: open_model(CONFIG, str(folder))) as first:
        wait_until_ready(first)
        through = open_reranker(str(folder), environ={}, service=first.url)
        through.scores("a", ["b"])
        port = first.http.base_url.port
    with running(WatchedEmbedder().opened, port=port) as second:
        wait_until_ready(second)
        with pytest.raises(ModelUnavailable, match="no reranker") as caught:
            through.scores("a", ["b"])

    assert "--rerank" in caught.value.cure


def test_the_key_is_needed_and_sent(folder: Path) -> None:
    with running(lambda: open_model(CONFIG, str(folder)), key=KEY) as service:
        wait_until_ready(service)
        refused = rerank(service, model=str(folder), query="a", documents=["b"])
        environ = {"SEMILAYER_EMBEDDER_KEY": KEY}
        scores = open_reranker(str(folder), environ=environ, service=service.url).scores("a", ["b"])

    assert refused.status_code == 401
    assert scores.shape == (1,)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "model"),
        ({"model": "x", "query": "a", "documents": ["b"]}, "model"),
        ({"query": 3, "documents": ["b"]}, "query"),
        ({"query": "a", "documents": []}, "documents"),
        ({"query": "a", "documents": "b"}, "documents"),
        ({"query": "a", "documents": ["b", 3]}, "documents"),
        ({"query": "a", "documents": ["b"] * (MAX_DOCUMENTS + 1)}, "documents"),
        ({"query": "a", "documents": ["\ud800"]}, "documents"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(
    serving: Service, folder: Path, fields: dict[str, Any], param: str
) -> None:
    import json

    body = fields if "model" in fields or not fields else {"model": str(folder)} | fields

    refused = serving.http.post("/v1/rerank", content=json.dumps(body))

    assert refused.status_code in (400, 404)
    assert refused.json()["error"]["param"] == param
