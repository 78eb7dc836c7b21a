"""Waits grow, are spread, are bounded, and follow what the endpoint asks."""

from semilayer_pipelines.embedders.retry import MAX_WAIT_S, wait_before_retry


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
