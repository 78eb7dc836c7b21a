"""When a benchmark counts as held, and when it fails the run."""

from __future__ import annotations

import pytest

from benchmarks.result import Result, Wanted, measured


@pytest.mark.parametrize(
    ("wanted", "value", "held"),
    [
        (Wanted.AT_LEAST, 10.0, True),
        (Wanted.AT_LEAST, 9.9, False),
        (Wanted.AT_MOST, 10.0, True),
        (Wanted.AT_MOST, 10.1, False),
    ],
)
def test_a_missed_speed_is_shown_and_fails_nothing(
    wanted: Wanted, value: float, held: bool
) -> None:
    result = Result("speed", "rows/s", measured([value]), wanted, 10.0)
    assert result.held is held
    assert not result.wrong


def test_one_wrong_count_among_right_ones_fails_the_run() -> None:
    right = Result("count", "rows", measured([200, 200, 200]), Wanted.EXACTLY, 200)
    wrong = Result("count", "rows", measured([200, 200, 201]), Wanted.EXACTLY, 200)
    assert right.held
    assert not right.wrong
    assert wrong.value == 200
    assert wrong.wrong


def test_a_number_without_a_target_neither_holds_nor_fails() -> None:
    result = Result("shown", "s", measured([1.0]), floor=2.0)
    assert result.held is None
    assert not result.wrong
    assert result.as_dict()["ratio"] == 0.5
