"""What goes out, when, and what leaving the client means."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from semilayer_pipelines.client import (
    Action,
    Change,
    IngestClient,
    Receipt,
    ReceiptStatus,
    synchronous,
)
from tests.client.given import client
from tests.client.service import Fault, Service, serve
from tests.patience import eventually


def test_the_last_action_of_an_id_is_what_arrives(service: Service) -> None:
    with client(service) as products:
        # Given changes that hit one id twice
        products.upsert("1")
        products.upsert("2")
        products.delete("1")
        # When they are flushed
        receipts = products.flush()
    # Then each id arrived once, and the receipt says what the service answered
    assert service.acknowledged == [[("2", "upsert"), ("1", "delete")]]
    assert receipts == (Receipt("job-1", ReceiptStatus.QUEUED, 2),)
    assert service.paths == ["/v1/ingest/products"]


def test_flushing_nothing_calls_nobody(service: Service) -> None:
    with client(service) as products:
        assert products.flush() == ()
    assert service.paths == []


def test_changes_go_out_by_themselves_after_the_given_time(service: Service) -> None:
    with client(service, flush_after=0.2) as products:
        started = time.monotonic()
        products.upsert("1")
        eventually(lambda: service.last_actions == {"1": "upsert"})
        assert service.arrivals[0] - started >= 0.2
        # And the next change starts a clock of its own
        products.upsert("2")
        eventually(lambda: "2" in service.last_actions)
        assert service.arrivals[1] - service.arrivals[0] >= 0.2


def test_the_time_is_counted_from_the_first_change(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two changes within a minute
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now, sleep=time.sleep)
    monkeypatch.setattr(synchronous, "time", clock)
    with client(service, flush_after=60.0) as products:
        products.upsert("1")
        now = 59.0
        products.upsert("2")
        # When the first has waited long enough
        now = 61.0
        products.upsert("3")
        # Then both go out in one call
        eventually(lambda: service.acknowledged)
        assert service.acknowledged[0][:2] == [("1", "upsert"), ("2", "upsert")]


def test_ten_thousand_ids_go_out_at_once(service: Service) -> None:
    with client(service) as products:
        products.add(Change(str(i), Action.UPSERT) for i in range(9_999))
        assert service.acknowledged == []
        products.upsert("0")
        assert service.acknowledged == []
        products.upsert("9999")
        assert [len(batch) for batch in service.acknowledged] == [10_000]


def test_more_than_a_call_may_carry_is_split(service: Service) -> None:
    with client(service) as products:
        products.add(Change(str(i), Action.UPSERT) for i in range(25_000))
        assert [len(batch) for batch in service.acknowledged] == [10_000, 10_000, 5_000]


def test_a_change_made_while_its_id_is_on_its_way_arrives_after_it(service: Service) -> None:
    service.faults = [Fault(202, body=b'{"status": "queued"}', after=True, delay=0.3)]
    with client(service) as products:
        products.upsert("1")
        flushing = threading.Thread(target=products.flush)
        flushing.start()
        eventually(lambda: service.arrivals)
        products.delete("1")
        # When flushed again, it waits for its turn
        products.flush()
        flushing.join()
    assert service.acknowledged == [[("1", "upsert")], [("1", "delete")]]


def test_many_threads_deliver_everything_and_never_two_batches_at_once(
    service: Service,
) -> None:
    service.faults = [Fault(None, after=i % 2 == 0) for i in range(4)]
    with client(service, flush_after=0.01) as products:

        def work(number: int) -> None:
            for i in range(100):
                products.upsert(f"{number}-{i}")
                if i % 20 == 0:
                    products.flush()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(service.last_actions) == 400
    assert service.most_at_once == 1


def leave_with_an_error(products: IngestClient) -> None:
    with products:
        products.upsert("1")
        raise KeyError("mine")


def test_leaving_with_an_error_delivers_and_keeps_the_error(service: Service) -> None:
    with pytest.raises(KeyError, match="mine"):
        leave_with_an_error(client(service))
    assert service.last_actions == {"1": "upsert"}


def test_leaving_with_an_error_while_the_service_is_down_says_what_was_not_delivered() -> None:
    with serve() as service:
        pass
    started = time.monotonic()
    products = client(service)
    with pytest.raises(KeyError) as failure:
        leave_with_an_error(products)
    assert failure.value.__notes__[0].startswith("1 changes were not delivered")
    assert time.monotonic() - started < 100  # one attempt, and not two minutes of them
    assert len(products.pending) == 1


def test_closing_does_not_wait_for_the_backgrounds_patience(service: Service) -> None:
    # Given a background that is between two attempts for an hour
    service.faults = [Fault(429, (("retry-after", "3600"),))]
    products = client(service, flush_after=0.0, give_up_after=7_200.0)
    products.upsert("1")
    eventually(lambda: service.arrivals)
    # When, then
    products.close()
    assert service.last_actions == {"1": "upsert"}
    with pytest.raises(RuntimeError, match="closed"):
        products.upsert("2")


def test_a_client_leaves_no_thread_behind(service: Service) -> None:
    before = set(threading.enumerate())
    with client(service, flush_after=0.01) as products:
        products.upsert("1")
        assert {t.name for t in threading.enumerate()} >= {"semilayer-ingest"}
    assert {t for t in set(threading.enumerate()) - before if t.name == "semilayer-ingest"} == set()


def test_full_and_incremental_ask_for_just_that(service: Service) -> None:
    with client(service) as products:
        assert products.full() == Receipt("job-1", ReceiptStatus.QUEUED)
        assert products.incremental().job_id == "job-2"
    assert service.modes == ["full", "incremental"]
