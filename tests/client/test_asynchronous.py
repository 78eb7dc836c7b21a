"""The client for tasks keeps the same promises as the blocking one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from semilayer_pipelines.client import (
    Action,
    AsyncIngestClient,
    Change,
    DeliveryFailed,
    Receipt,
    ReceiptStatus,
    RequestRefused,
)
from tests.client.given import async_client
from tests.client.service import Fault, Service, serve
from tests.patience import PATIENCE_SECONDS


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def test_the_last_action_of_an_id_is_what_arrives(service: Service) -> None:
    async def story() -> tuple[Receipt, ...]:
        async with async_client(service) as products:
            await products.upsert("1")
            await products.upsert("2")
            await products.delete("1")
            return await products.flush()

    assert asyncio.run(story()) == (Receipt("job-1", ReceiptStatus.QUEUED, 2),)
    assert service.acknowledged == [[("2", "upsert"), ("1", "delete")]]


def test_changes_go_out_by_themselves_after_the_given_time(service: Service) -> None:
    async def story() -> None:
        async with async_client(service, flush_after=0.2) as products:
            started = time.monotonic()
            await products.upsert("1")
            await _until(lambda: service.last_actions == {"1": "upsert"})
            assert service.arrivals[0] - started >= 0.2
            await products.upsert("2")
            await _until(lambda: "2" in service.last_actions)
            assert service.arrivals[1] - service.arrivals[0] >= 0.2

    asyncio.run(story())


def test_ten_thousand_ids_go_out_at_once(service: Service) -> None:
    async def story() -> None:
        async with async_client(service) as products:
            await products.add(Change(str(i), Action.UPSERT) for i in range(25_000))
            assert [len(batch) for batch in service.acknowledged] == [10_000, 10_000, 5_000]

    asyncio.run(story())


@pytest.mark.parametrize(
    "fault",
    [Fault(500), Fault(429), Fault(None, after=True), Fault(202, delay=1.0, after=True)],
    ids=str,
)
def test_what_may_pass_is_tried_again(service: Service, fault: Fault) -> None:
    service.faults = [fault]

    async def story() -> None:
        async with async_client(service, timeout=0.5) as products:
            await products.delete("1")
            assert len(await products.flush()) == 1
            assert products.pending == ()

    asyncio.run(story())
    assert service.last_actions == {"1": "delete"}


def test_a_refusal_keeps_the_changes(service: Service) -> None:
    service.faults = [Fault(403)]

    async def story() -> None:
        async with async_client(service) as products:
            await products.upsert("1")
            with pytest.raises(RequestRefused, match="HTTP 403"):
                await products.flush()
            assert products.pending == (Change("1", Action.UPSERT),)

    asyncio.run(story())
    assert service.last_actions == {"1": "upsert"}


def test_a_cancelled_flush_gives_its_batch_back(service: Service) -> None:
    service.faults = [Fault(delay=0.5)]

    async def story() -> None:
        async with async_client(service) as products:
            await products.add([Change("1", Action.UPSERT), Change("2", Action.UPSERT)])
            flushing = asyncio.create_task(products.flush())
            await _until(lambda: service.arrivals)
            await products.delete("1")
            # When it is cancelled in the middle of its request
            flushing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await flushing
            # Then nothing is lost, and the newer change stands
            assert products.pending == (
                Change("2", Action.UPSERT),
                Change("1", Action.DELETE),
            )

    asyncio.run(story())
    assert service.last_actions == {"1": "delete", "2": "upsert"}


def test_a_failed_flush_is_taken_up_by_the_background(service: Service) -> None:
    service.faults = [Fault(503, delay=0.3)] * 1_000

    async def story() -> None:
        async with async_client(service, flush_after=0.1, give_up_after=0.0) as products:
            await products.upsert("1")
            with pytest.raises(DeliveryFailed):
                await products.flush()
            service.faults.clear()
            await _until(lambda: service.last_actions == {"1": "upsert"})

    asyncio.run(story())


def test_a_failure_in_the_background_is_raised_by_the_next_call(service: Service) -> None:
    service.faults = [Fault(503)] * 1_000

    async def upsert_until_it_raises(products: AsyncIngestClient) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await asyncio.sleep(0.01)
                await products.upsert("2")

    async def story() -> None:
        async with async_client(service, flush_after=0.1, give_up_after=0.0) as products:
            await products.upsert("1")
            with pytest.raises(DeliveryFailed, match="HTTP 503"):
                await upsert_until_it_raises(products)
            service.faults.clear()
            await _until(lambda: set(service.last_actions) == {"1", "2"})

    asyncio.run(story())


def test_closing_does_not_wait_for_the_backgrounds_patience(service: Service) -> None:
    # Given a background that is between two attempts for an hour
    service.faults = [Fault(429, (("retry-after", "3600"),))]

    async def story() -> None:
        products = async_client(service, flush_after=0.0, give_up_after=7_200.0)
        await products.upsert("1")
        await _until(lambda: service.arrivals)
        # When, then
        await products.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await products.upsert("2")

    asyncio.run(story())
    assert service.last_actions == {"1": "upsert"}


def test_many_tasks_never_have_two_batches_on_their_way(service: Service) -> None:
    async def work(products: AsyncIngestClient, number: int) -> None:
        for i in range(50):
            await products.upsert(f"{number}-{i}")
            if i % 10 == 0:
                await products.flush()

    async def story() -> None:
        async with async_client(service, flush_after=0.01) as products:
            await asyncio.gather(*(work(products, number) for number in range(4)))

    asyncio.run(story())
    assert len(service.last_actions) == 200
    assert service.most_at_once == 1


def test_leaving_with_an_error_while_the_service_is_down_keeps_the_error() -> None:
    with serve() as service:
        pass

    async def story() -> None:
        async with async_client(service) as products:
            await products.upsert("1")
            raise KeyError("mine")

    with pytest.raises(KeyError) as failure:
        asyncio.run(story())
    assert failure.value.__notes__[0].startswith("1 changes were not delivered")
