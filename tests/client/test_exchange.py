"""A real server fails in every way it can: nothing is lost, and the caller is told."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from semilayer_pipelines.client import (
    Action,
    Change,
    DeliveryFailed,
    RequestRefused,
    synchronous,
)
from tests.client.given import client
from tests.client.service import Fault, Service, serve
from tests.patience import eventually


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500),
        Fault(503, (("retry-after", "0"),)),
        Fault(502, body=b"<html>Bad gateway</html>"),
        Fault(429),
        Fault(408),
        Fault(None),
        Fault(None, after=True),
        Fault(202, (("content-length", "1000"),), b"", after=True),
        Fault(202, delay=1.0, after=True),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(service: Service, fault: Fault) -> None:
    service.faults = [fault]
    with client(service, timeout=0.5) as products:
        products.delete("1")
        receipts = products.flush()
        assert len(receipts) == 1
        assert products.pending == ()
    assert service.last_actions == {"1": "delete"}


@pytest.mark.parametrize("asked", ["1", "0.5"])
def test_retry_after_is_honoured(service: Service, asked: str) -> None:
    service.faults = [Fault(429, (("Retry-After", asked),))]
    with client(service) as products:
        products.upsert("1")
        products.flush()
    first, second = service.arrivals
    assert second - first >= float(asked)


def test_a_storm_of_429_delivers_everything_once_it_is_over(service: Service) -> None:
    service.faults = [Fault(429, (("retry-after", "0"),))] * 20
    with client(service) as products:
        products.add(Change(str(i), Action.UPSERT) for i in range(100))
        products.flush()
    assert len(service.arrivals) == 21
    assert len(service.last_actions) == 100


def test_a_service_that_asks_for_more_patience_than_there_is_is_left_alone(
    service: Service,
) -> None:
    service.faults = [Fault(429, (("retry-after", "60"),))]
    with client(service, give_up_after=5.0) as products:
        products.upsert("1")
        with pytest.raises(DeliveryFailed, match=r"1 attempt .* HTTP 429 .* 60 s") as failure:
            products.flush()
        assert (failure.value.status, failure.value.retry_after) == (429, 60.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_raised_at_once_with_the_services_words(service: Service, status: int) -> None:
    service.faults = [Fault(status, body=b'{"error": {"code": "no", "message": "not \\n this"}}')]
    with client(service) as products:
        products.upsert("1")
        with pytest.raises(RequestRefused, match=f"HTTP {status} no: not this") as failure:
            products.flush()
        assert (failure.value.status, failure.value.code) == (status, "no")
        assert len(service.arrivals) == 1
        # And the change is kept, and goes out once the reason is gone
        assert products.pending == (Change("1", Action.UPSERT),)
        products.flush()
    assert service.last_actions == {"1": "upsert"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, body=b"<html>Welcome</html>"),
        Fault(202, body=b"OK"),
        Fault(202, body=b'{"status": "fine"}'),
        Fault(204, body=b""),
        Fault(301, (("location", "http://127.0.0.1:1/"),)),
    ],
    ids=str,
)
def test_only_a_receipt_counts_as_one(service: Service, fault: Fault) -> None:
    service.faults = [fault]
    with client(service) as products:
        products.upsert("1")
        with pytest.raises(RequestRefused, match="Check the URL"):
            products.flush()
        assert products.pending == (Change("1", Action.UPSERT),)


def test_what_could_not_be_delivered_is_kept_in_order_and_newer_changes_win() -> None:
    # Given a service that is down
    with serve() as service:
        pass
    products = client(service, give_up_after=0.5)
    products.add([Change("1", Action.UPSERT), Change("2", Action.UPSERT)])
    with pytest.raises(DeliveryFailed, match="did not take the call") as failure:
        products.flush()
    assert failure.value.status is None
    # When one of them changes again
    products.delete("1")
    kept = (Change("2", Action.UPSERT), Change("1", Action.DELETE))
    assert products.pending == kept
    # And the service comes back
    with serve(service):
        products.close()
    # Then what arrives is the newest of each
    assert service.acknowledged == [[(change.id, change.action) for change in kept]]


def test_a_failure_between_two_batches_says_what_was_delivered(service: Service) -> None:
    service.faults = []
    with client(service, give_up_after=0.0) as products:
        service.on_acknowledged = lambda _: service.faults.append(Fault(503))
        with pytest.raises(DeliveryFailed) as failure:
            products.add(Change(str(i), Action.UPSERT) for i in range(15_000))
        assert [receipt.job_id for receipt in failure.value.receipts] == ["job-1"]
        assert len(products.pending) == 5_000
    assert len(service.last_actions) == 15_000


def test_a_failure_in_the_background_is_raised_by_the_next_call_and_retried(
    service: Service,
) -> None:
    service.faults = [Fault(503)] * 1_000
    with client(service, flush_after=0.1, give_up_after=0.0) as products:
        products.upsert("1")
        with pytest.raises(DeliveryFailed, match="HTTP 503"):
            eventually(lambda: products.upsert("2"))
        # And nobody has to call again for it to be delivered
        service.faults.clear()
        eventually(lambda: set(service.last_actions) == {"1", "2"})


def test_a_failed_flush_is_taken_up_by_the_background(service: Service) -> None:
    # Given a call on its way while nothing else waits
    service.faults = [Fault(503, delay=0.3)] * 1_000
    with client(service, flush_after=0.1, give_up_after=0.0) as products:
        products.upsert("1")
        with pytest.raises(DeliveryFailed):
            products.flush()
        # When nobody calls again, then it is delivered
        service.faults.clear()
        eventually(lambda: service.last_actions == {"1": "upsert"})


def test_waits_between_attempts_grow(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=waits.append)
    monkeypatch.setattr(synchronous, "time", clock)
    service.faults = [Fault(500)] * 4
    with client(service) as products:
        products.upsert("1")
        products.flush()
    assert len(service.arrivals) == 5
    assert len(waits) == 4
    assert waits == sorted(waits)
    assert waits[3] > waits[0]
    assert 0.5 < sum(waits) < 6
