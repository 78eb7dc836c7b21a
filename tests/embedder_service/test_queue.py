"""The queue: what is taken together, who comes first, and that it stays bounded."""

import threading
from contextlib import ExitStack

import pytest

from semilayer_pipelines.embedder_service.pending import PendingRequest
from semilayer_pipelines.embedder_service.queue import CALL_COST, Full, Limits, Taken, TextQueue
from tests.patience import PATIENCE_SECONDS


def texts_in(taken: Taken | None) -> list[str]:
    assert taken is not None
    return [text.text for text in taken.texts]


def test_a_batch_is_filled_with_the_nearest_lengths() -> None:
    queue = TextQueue(Limits())
    lengths = [10, 200, 210, 190, 3_000, 230, 150, 260]

    with queue.admitted(PendingRequest(["x" * length for length in [205, *lengths]])):
        taken = queue.take(budget=4 * (210 + CALL_COST))

        assert taken is not None
        assert sorted(map(len, texts_in(taken))) == [190, 200, 205, 210]
        assert taken.full
        assert taken.cost == 4 * (210 + CALL_COST)


def test_one_text_is_taken_however_long_it_is() -> None:
    queue = TextQueue(Limits())

    with queue.admitted(PendingRequest(["x" * 100_000])):
        assert len(texts_in(queue.take(budget=10))) == 1


def test_no_text_is_padded_to_a_multiple_of_its_length() -> None:
    queue = TextQueue(Limits())

    with queue.admitted(PendingRequest(["a" * 40, "b" * 60, "c" * 2_000])):
        taken = [queue.take(budget=100_000) for _ in range(2)]

    assert sorted(sorted(map(len, texts_in(batch))) for batch in taken) == [[40, 60], [2_000]]
    assert not any(batch.full for batch in taken if batch)


def test_a_search_does_not_queue_behind_an_ingest_and_neither_waits_for_ever() -> None:
    queue = TextQueue(Limits())
    budget = 4 * (1_000 + CALL_COST)
    ingests = [PendingRequest([letter * 1_000] * 40) for letter in "abc"]

    with ExitStack() as admitted:
        for ingest in ingests:
            admitted.enter_context(queue.admitted(ingest))
        search = PendingRequest(["where?"])
        admitted.enter_context(queue.admitted(search))
        taken = [queue.take(budget) for _ in range(2)]
        # Small requests keep coming: every other batch is the oldest's all the same.
        for number in range(20):
            admitted.enter_context(queue.admitted(PendingRequest([f"query {number}"])))
            taken.append(queue.take(budget))

    assert any(search in batch.owners for batch in taken[:2] if batch)
    served_by_age = sum(batch.owners.count(ingests[0]) for batch in taken if batch)
    assert served_by_age == 40


def test_what_does_not_fit_is_refused_and_room_comes_back() -> None:
    queue = TextQueue(Limits(texts=5, characters=100))

    with queue.admitted(PendingRequest(["x" * 30] * 3)):
        with pytest.raises(Full), queue.admitted(PendingRequest(["a"] * 3)):
            pass
        with pytest.raises(Full) as full, queue.admitted(PendingRequest(["x" * 11])):
            pass
        with queue.admitted(PendingRequest(["x" * 10])):
            assert (queue.texts, queue.characters) == (4, 100)
    assert full.value.pending == 90
    assert (queue.texts, queue.characters) == (0, 0)


def test_a_request_that_is_given_up_leaves_nothing_behind() -> None:
    queue = TextQueue(Limits())

    with queue.admitted(PendingRequest(["kept"])):
        with queue.admitted(PendingRequest(["kept", "dropped", "dropped"])):
            pass

        assert texts_in(queue.take(budget=1_000)) == ["kept"]


def test_a_closed_queue_gives_what_it_holds_and_then_ends() -> None:
    queue = TextQueue(Limits())
    ended: list[Taken | None] = []

    with queue.admitted(PendingRequest(["a"])):
        queue.close()
        assert texts_in(queue.take(budget=1_000)) == ["a"]
    waiting_thread = threading.Thread(target=lambda: ended.append(queue.take(budget=1_000)))
    waiting_thread.start()
    waiting_thread.join(PATIENCE_SECONDS)

    assert ended == [None]


def test_an_abandoned_queue_fails_everybody() -> None:
    queue = TextQueue(Limits())
    asked = PendingRequest(["a"])

    with queue.admitted(asked):
        queue.abandon(RuntimeError("broken"))

        with pytest.raises(RuntimeError, match="broken"):
            asked.done.result(timeout=0)

    # Whoever was reading a body meanwhile comes too late, and must not wait for a model for ever.
    late = PendingRequest(["b"])
    with pytest.raises(RuntimeError, match="broken"), queue.admitted(late):
        raise AssertionError("nobody will take it")
