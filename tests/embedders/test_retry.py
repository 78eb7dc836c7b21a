"""Waits grow, are spread, are bounded, and follow what the endpoint asks."""

import pytest

from semilayer_pipelines.embedders.retry import (
    MAX_ATTEMPTS,
    MAX_LIMITED,
    MAX_WAIT_S,
    GivenUp,
    MayPass,
    send,
    wait_before_retry,
)


def test_waits_double_up_to_the_limit() -> None:
    waits = [wait_before_retry(n, None, lambda: 1.0) for n in range(1, 12)]

    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(waits) == MAX_WAIT_S


def test_waits_are_spread_over_half_their_length() -> None:
    assert wait_before_retry(3, None, lambda: 0.0) == 1.0
    assert wait_before_retry(3, None, lambda: 0.5) == 1.5


def test_never_less_than_the_endpoint_asked_for() -> None:
    assert wait_before_retry(1, 20.0, lambda: 0.0) == 20.0
    assert wait_before_retry(6, 1.0, lambda: 0.0) == 8.0


class Endpoint:
    """Fails in the ways it is given, one an attempt, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.waits: list[float] = []

    def attempt(self) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "answer"

    def send(self) -> str:
        return send(self.attempt, sleep=self.waits.append, random=lambda: 0.0)


def test_what_passes_is_sent_again_after_growing_waits() -> None:
    endpoint = Endpoint(MayPass("busy"), MayPass("busy", asked=7.0), MayPass("busy"))

    assert endpoint.send() == "answer"
    assert endpoint.waits == [0.25, 7.0, 1.0]


def test_it_is_given_up_after_so_many_attempts_with_the_last_reason() -> None:
    endpoint = Endpoint(*(MayPass(f"busy, {number}") for number in range(1, 20)))

    with pytest.raises(GivenUp) as raised:
        endpoint.send()

    assert raised.value.attempts == MAX_ATTEMPTS
    assert raised.value.reason == f"busy, {MAX_ATTEMPTS}"
    assert len(endpoint.waits) == MAX_ATTEMPTS - 1


def test_a_rate_limit_is_waited_for_longer_and_not_for_ever() -> None:
    endpoint = Endpoint(*(MayPass("busy", asked=1.0, limited=True) for _ in range(99)))

    with pytest.raises(GivenUp) as raised:
        endpoint.send()

    assert raised.value.attempts == MAX_LIMITED
    assert sum(endpoint.waits) > 5 * 60


def test_an_endpoint_that_asks_for_too_long_is_given_up_without_a_wait() -> None:
    endpoint = Endpoint(MayPass("busy"), MayPass("full", asked=MAX_WAIT_S + 1))

    with pytest.raises(GivenUp, match=r"full \(asks to wait 61 s\)") as raised:
        endpoint.send()

    assert raised.value.attempts == 2
    assert endpoint.waits == [0.25]


def test_as_long_as_the_limit_is_waited_for() -> None:
    endpoint = Endpoint(MayPass("busy", asked=MAX_WAIT_S))

    assert endpoint.send() == "answer"
    assert endpoint.waits == [MAX_WAIT_S]


def test_what_will_not_pass_is_raised_as_it_is() -> None:
    refused = ValueError("no such model")
    endpoint = Endpoint(refused)

    with pytest.raises(ValueError, match="no such model") as raised:
        endpoint.send()

    assert raised.value is refused
    assert endpoint.waits == []
