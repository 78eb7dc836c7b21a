"""What a flood of callers can do: be refused, and nothing else."""

import gc
import socket
import tracemalloc
from dataclasses import replace

from semilayer_pipelines.embedder_service.app import BODY_LIMITS
from semilayer_pipelines.embedder_service.queue import Limits
from tests.embedder_service.service import (
    Service,
    WatchedEmbedder,
    running,
    vectors_in,
    vectors_of,
    wait_until,
    wait_until_ready,
)
from tests.patience import PATIENCE_SECONDS


def test_a_full_queue_answers_429_and_says_when_to_come_again(embedder: WatchedEmbedder) -> None:
    with running(embedder.opened, limits=Limits(texts=4)) as service:
        wait_until_ready(service)
        with embedder.held():
            admitted = [service.pool.submit(service.ask, [f"{i}", "x"]) for i in range(2)]
            service.wait_for_held(4)
            refused = service.ask("one more")
        answered = [vectors_in(done.result()) for done in admitted]
        again = service.ask("one more")

        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert refused.json()["error"]["code"] == "queue_full"
        assert answered == [vectors_of([f"{i}", "x"]) for i in range(2)]
        assert vectors_in(again) == vectors_of(["one more"])


def test_a_long_body_is_refused_whether_or_not_its_length_was_declared(
    embedder: WatchedEmbedder,
) -> None:
    with running(embedder.opened, body_limits=replace(BODY_LIMITS, one=10_000)) as service:
        wait_until_ready(service)
        declared = service.ask("x" * 10_000)
        streamed = service.http.post("/v1/embeddings", content=(b"x" * 1_000 for _ in range(11)))

        assert (declared.status_code, streamed.status_code) == (413, 413)
        assert declared.json()["error"]["code"] == "body_too_large"
        assert embedder.calls == []


def test_a_body_that_does_not_arrive_is_given_up(embedder: WatchedEmbedder) -> None:
    with running(embedder.opened, body_limits=replace(BODY_LIMITS, seconds=0.2)) as service:
        wait_until_ready(service)
        with socket.create_connection(("127.0.0.1", service.http.base_url.port or 0)) as slow:
            slow.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
            slow.settimeout(PATIENCE_SECONDS)
            assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_a_caller_that_hangs_up_costs_the_model_nothing(
    service: Service, embedder: WatchedEmbedder
) -> None:
    with embedder.held():
        first = service.pool.submit(service.ask, "the first one")
        wait_until(lambda: embedder.calls, "the first call")
        body = b'{"model": "meaningless", "input": "for nobody"}'
        with socket.create_connection(("127.0.0.1", service.http.base_url.port or 0)) as gone:
            gone.sendall(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            service.wait_for_held(2)
        service.wait_for_held(1)

    first.result()
    assert vectors_in(service.ask("the next one")) == vectors_of(["the next one"])
    assert embedder.calls == [["the first one"], ["the next one"]]


def status_of(service: Service, text: str) -> int:
    # Not the response: it keeps the request's body.
    return service.ask(text).status_code


def test_memory_is_bounded_whatever_is_thrown_at_it(embedder: WatchedEmbedder) -> None:
    limits = Limits(texts=1_000, characters=1_000_000)
    text = "x" * 200_000
    tracemalloc.start()
    try:
        with running(embedder.opened, limits=limits) as service:
            wait_until_ready(service)
            service.ask("warm")
            with embedder.held():
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                asked = [service.pool.submit(status_of, service, f"{i}{text}") for i in range(200)]
                wait_until(lambda: sum(done.done() for done in asked) == 196, "196 refusals")
                gc.collect()
                held = tracemalloc.get_traced_memory()[0] - before
                assert service.number("held_characters") <= limits.characters
            statuses = sorted(done.result() for done in asked)
    finally:
        tracemalloc.stop()

    assert statuses == [200] * 4 + [429] * 196
    # 200 texts are 40 MB; held are 4 of them, by the callers here too, and change.
    assert held < 8_000_000
