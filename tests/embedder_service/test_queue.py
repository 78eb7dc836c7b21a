"""The queue: what is taken together, who comes first, and that it stays bounded."""

import threading
from contextlib import ExitStack

import pytest

from semilayer_pipelines.embedder_service.pending import PendingRequest
from semilayer_pipelines.embedder_service.queue import CALL_COST, Full, Limits, Taken, TextQueue


def texts_in(taken: Taken | None) -> list[str]:
    assert taken is not None
    return [text.text for text in taken.texts]


def test_a_batch_is_filled_with_the_nearest_lengths() -> None:
    waiting = TextQueue(Limits())
    lengths = [10, 200, 210, 190, 3_000, 230, 150, 260]

    with waiting.admitted(PendingRequest(["x" * length for length in [205, *lengths]])):
        taken = waiting.take(budget=4 * (210 + CALL_COST))

        assert taken is not None
        assert sorted(map(len, texts_in(taken))) == [190, 200, 205, 210]
        assert taken.full
        assert taken.cost == 4 * (210 + CALL_COST)


def test_one_text_is_taken_however_long_it_is() -> None:
    waiting = TextQueue(Limits())

    with waiting.admitted(PendingRequest(["x" * 100_000])):
        assert len(texts_in(waiting.take(budget=10))) == 1


def test_no_text_is_padded_to_a_multiple_of_its_length() -> None:
    waiting = TextQueue(Limits())

    with waiting.admitted(PendingRequest(["a" * 40, "b" * 60, "c" * 2_000])):
        taken = [waiting.take(budget=100_000) for _ in range(2)]

    assert sorted(sorted(map(len, texts_in(batch))) for batch in taken) == [[40, 60], [2_000]]
    assert not any(batch.full for batch in taken if batch)


def test_a_search_does_not_queue_behind_an_ingest_and_neither_waits_for_ever() -> None:
    waiting = TextQueue(Limits())
    budget = 4 * (1_000 + CALL_COST)
    ingests = [PendingRequest([letter * 1_000] * 40) for letter in "abc"]

    with ExitStack() as admitted:
        for ingest in ingests:
            admitted.enter_context(waiting.admitted(ingest))
        search = PendingRequest(["where?"])
        admitted.enter_context(waiting.admitted(search))
        taken = [waiting.take(budget) for _ in range(2)]
        # Small requests keep coming: every other batch is the oldest's all the same.
        for number in range(20):
            admitted.enter_context(waiting.admitted(PendingRequest([f"query {number}"])))
            taken.append(waiting.take(budget))

    assert any(search in batch.owners for batch in taken[:2] if batch)
    served_by_age = sum(batch.owners.count(ingests[0]) for batch in taken if batch)
    assert served_by_age == 40


def test_what_does_not_fit_is_refused_and_room_comes_back() -> None:
    waiting = TextQueue(Limits(texts=5, characters=100))

    with waiting.admitted(PendingRequest(["x" * 30] * 3)):
        with pytest.raises(Full), waiting.admitted(PendingRequest(["a"] * 3)):
            pass
        with pytest.raises(Full) as full, waiting.admitted(PendingRequest(["x" * 11])):
            pass
        with waiting.admitted(PendingRequest(["x" * 10])):
            assert (waiting.texts, waiting.characters) == (4, 100)
    assert full.value.waiting == 90
    assert (waiting.texts, waiting.characters) == (0, 0)


def test_a_request_that_is_given_up_leaves_nothing_behind() -> None:
    waiting = TextQueue(Limits())

    with waiting.admitted(PendingRequest(["kept"])):
        with waiting.admitted(PendingRequest(["kept", "dropped", "dropped"])):
            pass

        assert texts_in(waiting.take(budget=1_000)) == ["kept"]


def test_a_closed_queue_gives_what_it_holds_and_then_ends() -> None:
    waiting = TextQueue(Limits())
    ended: list[Taken | None] = []

    with waiting.admitted(PendingRequest(["a"])):
        waiting.close()
        assert texts_in(waiting.take(budget=1_000)) == ["a"]
    waiting_thread = threading.Thread(target=lambda: ended.append(waiting.take(budget=1_000)))
    waiting_thread.start()
    waiting_thread.join(5)

    assert ended == [None]


def test_an_abandoned_queue_fails_everybody() -> None:
    waiting = TextQueue(Limits())
    asked = PendingRequest(["a"])

    with waiting.admitted(asked):
        waiting.abandon(RuntimeError("broken"))

        with pytest.raises(RuntimeError, match="broken"):
            asked.done.result(timeout=0)
