"""Times move back in their own notation, and never past what the clock says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from semilayer_pipelines.bridges.times import is_ahead, is_time, start_before

LATER = datetime(2030, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
OVERLAP = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01 10:00:00", "2024-05-01 09:59:30"),
        ("2024-05-01T10:00:00.123Z", "2024-05-01T09:59:30.123Z"),
        ("2024-05-01 10:00:00.000001+00", "2024-05-01 09:59:30.000001+00"),
        ("2024-05-01T10:00:00.123456789-05:00", "2024-05-01T09:59:30.123456-05:00"),
        ("2024-05-01 10:00", "2024-05-01 09:59"),
        ("2024-03-01 00:00:10", "2024-02-29 23:59:40"),
        ("2024-03-01", "2024-02-29"),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00"),
        ("0099-01-01 00:01:00", "0099-01-01 00:00:30"),
    ],
)
def test_a_time_moves_back_in_its_own_notation(text: str, expected: str) -> None:
    assert start_before(text, LATER, OVERLAP) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01 23:00:00.5", "2024-05-01 11:59:30.0"),
        ("2024-05-01T15:00:00+02:00", "2024-05-01T13:59:30+02:00"),
        ("2024-05-02", "2024-05-01"),
    ],
)
def test_a_time_ahead_of_the_clock_counts_as_the_clock(text: str, expected: str) -> None:
    assert start_before(text, NOW, OVERLAP) == expected


@pytest.mark.parametrize(
    ("text", "ahead"),
    [
        ("2024-05-01 12:00:00", False),
        ("2024-05-01 12:00:00.000001", True),
        ("2024-05-01T13:59:59+02:00", False),
        ("2024-05-01T14:00:01+02:00", True),
        ("2024-05-01", False),
        ("2024-05-02", True),
        ("9999-12-31 23:59:59", True),
        ("0000-00-00 00:00:00", False),
        ("2024-13-01", False),
    ],
)
def test_a_time_is_ahead_of_a_clock_that_has_not_come_to_it(text: str, ahead: bool) -> None:
    assert is_ahead(text, NOW) is ahead


@pytest.mark.parametrize("text", ["12345", "infinity", "v12", "2024", "", "2024-05-01x"])
def test_what_is_no_time_is_told_apart(text: str) -> None:
    assert not is_time(text)
    with pytest.raises(ValueError, match="not an ISO time"):
        start_before(text, NOW, OVERLAP)
