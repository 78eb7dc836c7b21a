"""A job that failed waits longer after each failure, up to a bound, and is never given up."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from semilayer_pipelines.registry.jobs.waits import (
    FIRST_WAIT,
    LONGEST_WAIT,
    SOON,
    wait_before_retry,
)


@pytest.mark.parametrize("hiccup", [True, False])
def test_the_wait_doubles_up_to_an_hour_and_never_overflows(hiccup: bool) -> None:
    waits = [wait_before_retry(failures, hiccup=hiccup) for failures in range(1, 5_000)]

    assert all(one <= other for one, other in pairwise(waits))
    assert waits[-1] == LONGEST_WAIT == timedelta(hours=1)
    assert [wait / FIRST_WAIT for wait in waits if SOON < wait < LONGEST_WAIT] == [
        1, 2, 4, 8, 16, 32,
    ]  # fmt: skip


def test_what_did_not_answer_is_asked_once_more_within_seconds() -> None:
    assert wait_before_retry(1, hiccup=True) == SOON
    assert wait_before_retry(1, hiccup=False) == FIRST_WAIT
