"""Starting, stopping, and who may ask."""

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from semilayer_pipelines.embedder_service import Opened
from semilayer_pipelines.errors import ModelUnavailable
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

KEY = "a-secret-key-ü"


def test_it_is_not_healthy_before_the_model_is_loaded(embedder: WatchedEmbedder) -> None:
    loaded = threading.Event()

    def opening() -> Opened:
        assert loaded.wait(PATIENCE_SECONDS)
        return embedder.opened()

    with running(opening) as service:
        early = [service.http.get("/healthz"), service.http.get("/v1/models"), service.ask("a")]
        assert service.number("ready") == 0
        loaded.set()
        wait_until_ready(service)

        assert [response.status_code for response in early] == [503, 503, 503]
        assert int(early[2].headers["retry-after"]) >= 1
        assert vectors_in(service.ask("a")) == vectors_of(["a"])
        assert service.number("ready") == 1


def test_a_model_that_does_not_load_is_reported_and_never_served() -> None:
    failures: list[Exception] = []

    def opening() -> Opened:
        raise ModelUnavailable("There is no such model.")

    with running(opening, ended=failures.append) as service:
        wait_until(lambda: failures, "the failure")

        assert service.ask("a").status_code == 503
        assert service.http.get("/healthz").status_code == 503
    assert [str(failure) for failure in failures] == ["There is no such model."]


def test_stopping_answers_everything_that_was_accepted(embedder: WatchedEmbedder) -> None:
    asked = [[f"{caller}", "x" * caller] for caller in range(20)]

    with running(embedder.opened) as service:
        wait_until_ready(service)
        with embedder.held():
            answers = [service.pool.submit(service.ask, texts) for texts in asked]
            service.wait_for_held(40)
            service.server.should_exit = True
            wait_until(lambda: not _accepts(service), "the port to close")

        assert [vectors_in(answer.result()) for answer in answers] == [vectors_of(t) for t in asked]


def _accepts(service: Service) -> bool:
    import httpx

    try:
        httpx.get(f"{service.url}/healthz")
    # Refused, or taken in the moment in which the port closed, and dropped without a response.
    except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        return False
    return True


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \xff\xfe"]
)
def test_with_a_key_nobody_embeds_without_it(embedder: WatchedEmbedder, given: str | None) -> None:
    headers = {} if given is None else {b"authorization": given.encode()}

    with running(embedder.opened, key=KEY) as service:
        wait_until_ready(service)
        refused = [
            service.http.post("/v1/embeddings", content=b"{", headers=headers),
            service.http.get("/v1/models", headers=headers),
        ]

        assert [response.status_code for response in refused] == [401, 401]
        assert all(KEY not in response.text for response in refused)
        assert embedder.calls == []


def test_the_key_opens_and_health_needs_none(embedder: WatchedEmbedder) -> None:
    with running(embedder.opened, key=KEY) as service:
        wait_until_ready(service)
        service.http.headers["authorization"] = f"Bearer {KEY}"

        assert vectors_in(service.ask("a")) == vectors_of(["a"])
        assert KEY not in service.http.get("/metrics").text


def test_metrics_have_the_names_that_dashboards_know(service: Service) -> None:
    service.ask("one")

    families = text_string_to_metric_families(service.http.get("/metrics").text)

    names = {sample.name for family in families for sample in family.samples}
    assert {name.removeprefix("semilayer_embedder_") for name in names} == {
        "ready",
        "info",
        "held_texts",
        "held_characters",
        "requests_total",
        "request_seconds_bucket",
        "request_seconds_sum",
        "request_seconds_count",
        "batches_total",
        "model_calls_total",
        "model_seconds_total",
        "texts_total",
        "tokens_total",
        "truncated_texts_total",
        "rejected_texts_total",
    }


def test_metrics_count_requests_batches_and_texts(service: Service) -> None:
    service.ask(["one", "two"])
    service.ask([])

    text = service.http.get("/metrics").text
    assert 'semilayer_embedder_requests_total{status="200"} 1.0\n' in text
    assert 'semilayer_embedder_requests_total{status="400"} 1.0\n' in text
    assert 'semilayer_embedder_request_seconds_bucket{le="+Inf"} 2.0\n' in text
    assert service.number("texts_total") == 2
    assert service.number("tokens_total") == 6
    assert service.number("batches_total") == 1
