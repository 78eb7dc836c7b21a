"""Texts of many callers meet in one batch, and what one caller sent wrong harms no other."""

import pytest

from tests.embedder_service.service import (
    POISON,
    Service,
    WatchedEmbedder,
    running,
    vectors_in,
    vectors_of,
    wait_until,
    wait_until_ready,
)

CALLERS = 32


def test_callers_share_batches_and_each_gets_its_own_vectors(
    service: Service, embedder: WatchedEmbedder
) -> None:
    asked = [[f"caller {caller} text {i}" for i in range(3)] for caller in range(CALLERS)]

    with embedder.held():
        first = service.pool.submit(service.ask, "the first one")
        wait_until(lambda: embedder.calls, "the first call")
        answers = [service.pool.submit(service.ask, texts) for texts in asked]
        service.wait_for_held(1 + 3 * CALLERS)

    assert vectors_in(first.result()) == vectors_of(["the first one"])
    assert [vectors_in(answer.result()) for answer in answers] == [vectors_of(t) for t in asked]
    assert len(embedder.calls) == 2
    assert service.number("held_texts") == 0


def test_a_batch_holds_texts_of_similar_length(service: Service, embedder: WatchedEmbedder) -> None:
    asked = [["s" * 100, "l" * 5_000], ["s" * 101, "l" * 5_001], ["s" * 102, "l" * 5_002]]

    with embedder.held():
        first = service.pool.submit(service.ask, "the first one")
        wait_until(lambda: embedder.calls, "the first call")
        answers = [service.pool.submit(service.ask, texts) for texts in asked]
        service.wait_for_held(7)

    assert [vectors_in(answer.result()) for answer in answers] == [vectors_of(t) for t in asked]
    first.result()
    for call in embedder.calls[1:]:
        assert len({text[0] for text in call}) == 1
    assert ["s" * 100, "s" * 101, "s" * 102] in [sorted(call) for call in embedder.calls]


def test_equal_texts_of_many_callers_are_embedded_once(
    service: Service, embedder: WatchedEmbedder
) -> None:
    with embedder.held():
        first = service.pool.submit(service.ask, "the first one")
        wait_until(lambda: embedder.calls, "the first call")
        answers = [service.pool.submit(service.ask, ["the same"] * 2) for _ in range(CALLERS)]
        service.wait_for_held(1 + 2 * CALLERS)

    assert all(vectors_in(a.result()) == vectors_of(["the same"] * 2) for a in answers)
    first.result()
    # One call, in which the embedder itself embeds equal texts once.
    assert embedder.calls[1:] == [["the same"] * 2 * CALLERS]


@pytest.mark.parametrize("names_positions", [True, False])
def test_a_poison_text_fails_only_the_request_that_sent_it(names_positions: bool) -> None:
    embedder = WatchedEmbedder(names_positions=names_positions)
    good = [[f"good {caller} {i}" for i in range(4)] for caller in range(10)]
    bad = ["fine", "also fine", f"{POISON} here", "fine as well"]

    with running(embedder.opened) as service:
        wait_until_ready(service)
        with embedder.held():
            first = service.pool.submit(service.ask, "the first one")
            wait_until(lambda: embedder.calls, "the first call")
            answers = [service.pool.submit(service.ask, texts) for texts in good]
            failing = service.pool.submit(service.ask, bad)
            service.wait_for_held(45)

        assert [vectors_in(answer.result()) for answer in answers] == [vectors_of(t) for t in good]
        failed = failing.result()
        assert service.number("rejected_texts_total") == 1
        assert service.number("held_texts") == 0
    first.result()
    error = failed.json()["error"]
    assert (failed.status_code, error["code"], error["param"]) == (400, "text_rejected", "input")
    assert error["message"] == "The text at position 2 cannot be embedded: It is poison."


def test_a_failing_model_fails_the_batch_and_not_the_service(
    service: Service, embedder: WatchedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(embedder, "_seed", None)
        failed = service.ask("a")

    assert failed.status_code == 500
    assert failed.json()["error"]["message"] == "The service failed; its log says why."
    assert vectors_in(service.ask("a")) == vectors_of(["a"])
