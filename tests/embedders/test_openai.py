"""The HTTP embedder, against a real server: what it sends, what it retries, what it refuses."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from semilayer_pipelines.embedders import endpoint as endpoints
from semilayer_pipelines.embedders.batches import FIRST_BYTES_A_TOKEN
from semilayer_pipelines.embedders.providers import MAX_BATCH_TEXTS, MAX_BATCH_TOKENS
from semilayer_pipelines.embedders.retry import MAX_ATTEMPTS, MAX_LATE
from semilayer_pipelines.errors import (
    DimensionChanged,
    EmbedderUnavailable,
    EmbeddingRejected,
    ModelUnavailable,
)
from semilayer_pipelines.ingest.embed import embed_page
from tests.embedders.conftest import KEY, Embedding
from tests.embedders.endpoint import Endpoint, Reply, vectors_for
from tests.patience import eventually

MAX_BATCH_CHARACTERS = int(MAX_BATCH_TOKENS * FIRST_BYTES_A_TOKEN)
"""As many characters are taken for too many tokens, before an endpoint has said what it counts."""


def test_vectors_come_back_in_the_order_of_the_texts(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    done = embedding.embed(["bb", "a", "dddd", "a"])

    assert done.vectors.tolist() == [[2, 1, 1], [1, 2, 1], [4, 0, 1], [1, 2, 1]]
    assert not done.truncated.any()
    assert endpoint.asked == [["dddd", "bb", "a"]]
    assert endpoint.paths == ["/v1/embeddings"]
    assert endpoint.bodies[0] == {"model": "small", "input": ["dddd", "bb", "a"]}
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"


def test_a_slash_at_the_end_and_a_query_of_the_address_are_kept_apart(endpoint: Endpoint) -> None:
    made = Embedding(f"{endpoint.url}/?api-version=2")

    made.embed(["a"])
    made.embedder.close()

    assert endpoint.paths == ["/v1/embeddings?api-version=2"]
    assert "authorization" not in endpoint.headers[0]


def test_batches_are_bounded_by_texts_and_by_tokens(endpoint: Endpoint) -> None:
    long = [f"{i}" + "x" * (MAX_BATCH_CHARACTERS // 2) for i in range(3)]
    short = [f"{i:04}" for i in range(MAX_BATCH_TEXTS + 10)]

    one_by_one = Embedding(endpoint.url, concurrency=1)

    done = one_by_one.embed([*short, *long])

    assert [len(asked) for asked in endpoint.asked] == [1, 1, MAX_BATCH_TEXTS, 11]
    assert done.vectors[:, 0].tolist() == [4] * len(short) + [len(long[0])] * 3


def test_a_text_longer_than_a_batch_is_sent_alone(endpoint: Endpoint, embedding: Embedding) -> None:
    embedding.embed(["x" * (MAX_BATCH_CHARACTERS + 1), "a"])

    assert [len(asked) for asked in endpoint.asked] == [1, 1]


@pytest.mark.parametrize(
    "failure", [Reply(429), Reply(500), Reply(503, b"<html>busy</html>"), Reply(408), Reply(None)]
)
def test_what_may_pass_is_tried_again_with_growing_waits(
    endpoint: Endpoint, embedding: Embedding, failure: Reply
) -> None:
    endpoint.replies.extend([failure, failure])

    done = embedding.embed(["abc"])

    assert done.vectors.tolist() == [[3, 0, 1]]
    assert embedding.waits == [0.25, 0.5]


def test_retry_after_is_honoured_in_seconds_and_as_a_date(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    endpoint.replies.extend(
        [
            Reply(429, headers={"Retry-After": "7"}),
            Reply(503, headers={"Retry-After": later}),
            Reply(503, headers={"Retry-After": "9.5"}),
            Reply(429, headers={"Retry-After-Ms": "12500", "Retry-After": "13"}),
        ]
    )

    embedding.embed(["abc"])

    assert embedding.waits[0] == 7
    assert 25 < embedding.waits[1] <= 30
    assert embedding.waits[2:] == [9.5, 12.5]


def test_an_endpoint_that_stays_down_is_given_up_as_transient(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    endpoint.replies.extend([Reply(500, b'{"error": {"message": "cuda gone"}}')] * 50)

    with pytest.raises(EmbedderUnavailable, match=f"in {MAX_ATTEMPTS} attempts.*cuda gone"):
        embedding.embed(["abc"])

    assert len(endpoint.bodies) == MAX_ATTEMPTS
    assert len(embedding.waits) == MAX_ATTEMPTS - 1


def test_an_endpoint_that_asks_for_an_hour_is_given_up_at_once(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    endpoint.replies.append(Reply(429, headers={"Retry-After": "3600"}))

    with pytest.raises(EmbedderUnavailable, match="asks to wait 3600 s"):
        embedding.embed(["abc"])

    assert embedding.waits == []


def test_nobody_listening_is_transient() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        made = Embedding(f"http://127.0.0.1:{unused.getsockname()[1]}/v1")

        with pytest.raises(EmbedderUnavailable, match="ConnectError"):
            made.embed(["abc"])
    made.embedder.close()


@pytest.mark.parametrize("status", [400, 422])
def test_refused_texts_are_left_to_be_halved(
    endpoint: Endpoint, embedding: Embedding, status: int
) -> None:
    endpoint.replies.append(Reply(status, b'{"error": {"message": "of no use"}}'))

    with pytest.raises(EmbeddingRejected, match="of no use"):
        embedding.embed(["abc", "de"])

    assert len(endpoint.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "cure"),
    [
        (Reply(401), "EMBED_KEY"),
        (Reply(403), "EMBED_KEY"),
        (Reply(404), "'small'"),
        (Reply(402), "billing"),
        (Reply(429, b'{"error": {"code": "insufficient_quota", "message": "pay"}}'), "billing"),
        (Reply(429, b'{"error": {"code": "billing_not_active", "message": "pay"}}'), "billing"),
        (Reply(429, b'{"error": {"metadata": {"raw": "insufficient_quota"}}}'), "billing"),
        (Reply(400, b'{"error": {"code": "billing_hard_limit_reached"}}'), "billing"),
        (Reply(308, headers={"Location": "http://127.0.0.1:9/"}), "embedding.url"),
        (Reply(200, b'{"welcome": true}'), "embedding.url"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(
    endpoint: Endpoint, embedding: Embedding, reply: Reply, cure: str
) -> None:
    endpoint.replies.append(reply)

    with pytest.raises(ModelUnavailable) as caught:
        embedding.embed(["abc"])

    assert cure in caught.value.cure
    assert len(endpoint.bodies) == 1


BLOCKED = Reply(403, b"<!DOCTYPE html><html>Sorry, you have been blocked</html>")


def test_a_text_that_a_firewall_dislikes_costs_its_row_alone(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    texts = [f"row {n}" for n in range(40)]
    texts[17] = "'; DROP TABLE items; --"
    endpoint.rule = lambda asked: BLOCKED if any("DROP" in text for text in asked) else None

    page = embed_page(embedding.embedder, texts)

    assert [*page.rejected] == [17]
    assert "in front of" in page.rejected[17]
    assert len(page.kept) == 39


def test_a_firewall_that_lets_nothing_through_is_no_fault_of_the_texts(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    endpoint.rule = lambda asked: BLOCKED

    with pytest.raises(ModelUnavailable, match=r"also a plain word.*HTTP 403.*been blocked"):
        embed_page(embedding.embedder, [f"row {n}" for n in range(1_000)])

    assert len(endpoint.bodies) < 40


def test_an_endpoint_that_counts_no_tokens_is_kept_to_the_limit_all_the_same(
    endpoint: Endpoint,
) -> None:
    made = Embedding(endpoint.url, tokens_per_minute=600, max_batch_tokens=512, concurrency=1)

    def uncounted(asked: list[str]) -> Reply:
        said = json.loads(vectors_for({"input": asked}))
        return Reply(200, json.dumps(said | {"usage": {"prompt_tokens": 0}}).encode())

    endpoint.rule = uncounted
    made.embed([f"{n:03}" * 200 for n in range(4)])
    made.embedder.close()

    assert sum(made.waits) > 60


def test_the_declared_dimension_is_asked_for_and_checked(endpoint: Endpoint) -> None:
    made = Embedding(endpoint.url, dimensions=4)

    with pytest.raises(DimensionChanged, match="of 3 numbers, and 4 were declared"):
        made.embed(["abc"])
    made.embedder.close()

    assert endpoint.bodies[0]["dimensions"] == 4


def test_a_dimension_that_changes_between_batches_is_refused(
    endpoint: Endpoint, embedding: Embedding
) -> None:
    endpoint.replies.append(Reply(200, b'{"data": [{"index": 0, "embedding": [1, 2]}]}'))

    with pytest.raises(DimensionChanged, match="in the middle of a page"):
        embedding.embed(["x" * MAX_BATCH_CHARACTERS, "a"])


@pytest.mark.parametrize("number", ["NaN", "null", "0"])
def test_nan_and_zero_vectors_are_refused(
    endpoint: Endpoint, embedding: Embedding, number: str
) -> None:
    body = f'{{"data": [{{"index": 0, "embedding": [{number}, 0]}}]}}'
    endpoint.replies.append(Reply(200, body.encode()))

    with pytest.raises(EmbeddingRejected, match="NaN, infinite or zero") as caught:
        embedding.embed(["abc"])

    assert caught.value.positions == (0,)


def test_the_page_of_a_captive_portal_may_pass(endpoint: Endpoint, embedding: Embedding) -> None:
    endpoint.replies.append(Reply(200, b"<html>Sign in to the guest network</html>"))

    with pytest.raises(EmbedderUnavailable, match=r"Something else answers.*Sign in"):
        embedding.embed(["abc"])

    assert len(endpoint.bodies) == 1


@contextmanager
def dripping(head: bytes) -> Iterator[tuple[str, list[float]]]:
    """Serve an endpoint that sends `head`, and then a blank every tenth of a second for ever."""
    listener, asked = socket.create_server(("127.0.0.1", 0)), list[float]()

    def drip(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.recv(65_536)
            asked.append(time.monotonic())
            client.sendall(head)
            while True:
                client.sendall(b" ")
                time.sleep(0.1)

    def serve_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=drip, args=(client,), daemon=True).start()

    threading.Thread(target=serve_all, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{", b"HTTP/1.1 200 OK\r\nx-drip: "],
    ids=["body", "head"],
)
def test_an_endpoint_that_drips_its_answer_is_given_up(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "ANSWER_S", 0.5)
    with dripping(head) as (url, asked):
        with pytest.raises(EmbedderUnavailable, match=r"no whole answer within 0\.5 s"):
            Embedding(url).embed(["abc"])

        eventually(lambda: len(asked) >= MAX_LATE)

    assert len(asked) == MAX_LATE
