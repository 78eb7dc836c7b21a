"""Waits grow, are spread, are bounded, and follow what the endpoint asks."""

from datetime import UTC, datetime

import pytest

from semilayer_pipelines.embedders.retry import MAX_WAIT_S, retry_after, wait_before_retry

NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


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


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("Sat, 01 Mar 2025 12:00:30 GMT", 30.0),
        ("Sat, 01 Mar 2025 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after(header, NOW) == seconds
