"""When a request is repeated: never sooner than asked, never later than patience allows."""

import hypothesis.strategies as st
from hypothesis import given

from semilayer_pipelines.client.backoff import FIRST_WAIT_S, MAX_WAIT_S, next_wait

failures = st.integers(1, 10_000)
spreads = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 1e6)


@given(failures, st.none() | seconds, seconds, spreads)
def test_no_wait_is_longer_than_the_patience_that_is_left(
    failures: int, asked: float | None, left: float, spread: float
) -> None:
    wait = next_wait(failures, asked, left, spread)
    assert wait is None or 0 <= wait <= left


@given(failures, seconds, spreads)
def test_what_the_service_asks_for_is_kept_to_the_full(
    failures: int, asked: float, spread: float
) -> None:
    wait = next_wait(failures, asked, float("inf"), spread)
    assert wait is not None
    assert asked <= wait <= asked + FIRST_WAIT_S


@given(failures, spreads, spreads)
def test_waits_double_within_jitter_up_to_a_limit(failures: int, one: float, two: float) -> None:
    first = next_wait(failures, None, float("inf"), one)
    second = next_wait(failures + 1, None, float("inf"), two)
    assert first is not None
    assert second is not None
    assert FIRST_WAIT_S / 2 <= first <= MAX_WAIT_S
    assert second >= first / 2


def test_callers_who_failed_together_do_not_come_back_together() -> None:
    waits = {next_wait(5, None, 1e9, spread / 10) for spread in range(10)}
    assert len(waits) == 10
