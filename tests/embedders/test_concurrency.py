"""Many requests at a time to an endpoint that enforces its limits: nothing lost, nothing twice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.cancellation import Cancellation, cancelled_by
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from semilayer_pipelines.errors import ModelUnavailable
from semilayer_pipelines.ingest.embed import embed_page
from tests.embedders.endpoint import Endpoint, Reply
from tests.embedders.limited import Limited, limited, tokens_of, vector_of
from tests.patience import PATIENCE_SECONDS, eventually


def texts_of(number: int, *, length: int = 40) -> list[str]:
    return [f"{n:06} ".ljust(length, "x") for n in range(number)]


def embedder_of(endpoint: Limited, **settings: Any) -> OpenAIEmbedder:
    config = EmbeddingConfig(provider="openai", model="small", url=endpoint.url, **settings)
    return OpenAIEmbedder(
        config, environ={}, sleep=endpoint.sleep, clock=endpoint.clock, random=lambda: 0.5
    )


def assert_each_text_has_its_vector(vectors: Any, texts: list[str]) -> None:
    assert np.allclose(vectors, [vector_of(text) for text in texts])


def test_requests_run_side_by_side_and_vectors_keep_their_order() -> None:
    texts = texts_of(2_000)
    with limited(together=6) as endpoint:
        made = embedder_of(endpoint, concurrency=6).embed(texts)

    assert_each_text_has_its_vector(made.vectors, texts)
    assert endpoint.most_at_once == 6
    assert set(endpoint.seen.values()) == {1}
    assert made.tokens is not None
    assert made.tokens.sum() == sum(map(tokens_of, texts))


def test_one_request_at_a_time_where_a_lens_says_so() -> None:
    with limited(latency=0.01) as endpoint:
        embedder_of(endpoint, concurrency=1).embed(texts_of(300))

    assert endpoint.most_at_once == 1


@pytest.mark.parametrize("told", [True, False], ids=["by its headers", "by its refusals"])
def test_an_endpoints_own_limits_are_kept_to(told: bool) -> None:
    # given 1,500 texts of 10 tokens, for an endpoint that takes 6,000 tokens a minute
    texts = texts_of(1_500)
    with limited(tokens=6_000, requests=60, speed=40, told=told) as endpoint:
        made = embedder_of(endpoint).embed(texts)

    assert_each_text_has_its_vector(made.vectors, texts)
    assert set(endpoint.seen.values()) == {1}
    assert endpoint.statuses[429] <= (2 if told else 40)


def test_the_limits_of_a_lens_are_never_exceeded() -> None:
    texts = texts_of(700)
    with limited(speed=20, minute=50, told=False) as endpoint:
        embedder = embedder_of(endpoint, requests_per_minute=30, tokens_per_minute=6_000)
        made = embedder.embed(texts)

    assert_each_text_has_its_vector(made.vectors, texts)
    assert endpoint.worst[0] <= 30
    assert 2_000 <= endpoint.worst[1] <= 6_000
    assert set(endpoint.seen.values()) == {1}


def test_processes_of_one_machine_share_the_limits(tmp_path: Path) -> None:
    # given two processes, as of two shards, and an endpoint that tells nothing
    share = """
import sys
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.embedders.openai import OpenAIEmbedder
from tests.embedders.limited import Limited
end = Limited(speed=20)
config = EmbeddingConfig(provider="openai", model="small", url=sys.argv[1], requests_per_minute=20)
embedder = OpenAIEmbedder(config, environ={}, sleep=end.sleep, clock=end.clock)
for n in range(12):
    embedder.embed([f"{sys.argv[2]} {n}"])
"""
    with limited(speed=20, minute=50, told=False, requests=20) as endpoint:
        runs = [
            subprocess.Popen([sys.executable, "-c", share, endpoint.url, name]) for name in "ab"
        ]
        assert [run.wait(PATIENCE_SECONDS) for run in runs] == [0, 0]

    assert len(endpoint.seen) == 24
    assert endpoint.statuses == {200: 24}


def test_a_storm_of_refusals_loses_nothing() -> None:
    # given requests under way, and an endpoint that refuses the next thirty
    texts = texts_of(1_000)
    with limited(speed=200) as endpoint:
        embedder = embedder_of(endpoint)
        embedder.embed(texts_of(300, length=50))
        endpoint.seen.clear()
        endpoint.storm = 30
        made = embedder.embed(texts)

    assert endpoint.statuses[429] == 30
    assert_each_text_has_its_vector(made.vectors, texts)
    assert set(endpoint.seen.values()) == {1}


def test_a_question_goes_before_the_texts_of_rows() -> None:
    # given an ingest that has to wait for minutes
    with limited(speed=5) as endpoint, ThreadPoolExecutor(1) as aside:
        embedder = embedder_of(endpoint, tokens_per_minute=2_000)
        ingest, cancellation = texts_of(2_000), Cancellation()

        def embed() -> None:
            with cancelled_by(cancellation):
                embedder.embed(ingest)

        under_way = aside.submit(embed)
        eventually(lambda: endpoint.seen)
        time.sleep(0.3)

        # when somebody searches
        embedder.embed_queries(["a question"])

        # then the question did not wait for the ingest
        assert not under_way.done()
        cancellation.cancel()
        with pytest.raises(CancelledError):
            under_way.result(PATIENCE_SECONDS)


def test_a_cancelled_ingest_ends_its_requests_at_once() -> None:
    cancellation = Cancellation()
    with limited(latency=3_600.0) as endpoint:
        embedder = embedder_of(endpoint)

        def cancel_once_under_way() -> None:
            while not endpoint.under_way:
                time.sleep(0.01)
            cancellation.cancel()

        threading.Thread(target=cancel_once_under_way).start()
        with cancelled_by(cancellation), pytest.raises(CancelledError):
            embedder.embed(texts_of(500))

        eventually(lambda: not endpoint.under_way)
        assert endpoint.hung_up == 1


def test_a_row_that_is_refused_costs_its_neighbours_nothing() -> None:
    texts = texts_of(1_000)
    texts[617] = "poison"
    with limited(poison="poison") as endpoint:
        page = embed_page(embedder_of(endpoint), texts)

    others = [text for text in texts if text != "poison"]
    assert [*page.rejected] == [617]
    assert page.kept.tolist() == [n for n in range(1_000) if n != 617]
    assert_each_text_has_its_vector(page.vectors, others)
    # The request that holds it is halved; nobody pays for the others twice.
    assert sum(endpoint.seen.values()) == 999


def test_a_text_that_is_too_long_is_cut_and_its_neighbours_are_whole() -> None:
    texts = texts_of(500)
    texts[123] = "y" * 5_000
    with limited(text_tokens=300) as endpoint:
        page = embed_page(embedder_of(endpoint), texts)

    assert page.truncated == 1
    assert len(page.vectors) == 500
    assert_each_text_has_its_vector(page.vectors[:123], texts[:123])
    assert_each_text_has_its_vector(page.vectors[124:], texts[124:])


def test_a_limit_of_a_request_is_learned_from_a_refusal() -> None:
    with limited(batch_texts=20) as endpoint:
        embedder = embedder_of(endpoint, concurrency=1, max_batch_texts=100)
        embedder.embed(texts_of(200))
        refused = endpoint.statuses[400]
        embedder.embed(texts_of(200, length=50))

    assert refused <= 8
    assert endpoint.statuses[400] == refused


def test_a_key_that_is_refused_is_tried_once(endpoint: Endpoint) -> None:
    endpoint.rule = lambda texts: Reply(401)
    config = EmbeddingConfig(provider="openai", model="small", url=endpoint.url)

    with pytest.raises(ModelUnavailable):
        OpenAIEmbedder(config, environ={}).embed(texts_of(2_000))

    assert len(endpoint.bodies) == 1


def test_questions_to_a_service_wait_for_no_place_of_an_ingest() -> None:
    # given more questions at a time than an ingest may have requests
    with limited(latency=0.3) as endpoint, ThreadPoolExecutor(12) as people:
        embedder = embedder_of(endpoint, concurrency=1)
        made = [*people.map(lambda n: embedder.embed_queries([f"question {n}"]), range(12))]

    assert endpoint.most_at_once > 4
    assert len(made) == 12
