"""`Retry-After`: seconds or a date, and nothing that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from semilayer_pipelines.http.retry_after import retry_after

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12.0),
        (" 0 ", 0.0),
        (" 1.5 ", 1.5),
        ("Tue, 01 Jan 2030 12:00:30 GMT", 30.0),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 0.0),
        ("Tue, 01 Jan 2030 12:00:30 -0000", 30.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("+5", None),
        ("1e3", None),
        ("inf", None),
        ("1.", None),
        (".5", None),
        ("1.5.5", None),
        ("1,5", None),
        ("१२", None),
        ("Tue, 31 Feb 2030 12:00:30 GMT", None),
        (f"Tue, 01 Jan 2030 12:00:30 +{'9' * 40}", None),
    ],
)
def test_it_is_read_as_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ Jan \d+ \d+:\d+:\d+ [+-]\d+"))
def test_whatever_a_server_sends_is_a_wait_or_nothing(header: str) -> None:
    seconds = retry_after(header, NOW)
    assert seconds is None or seconds >= 0
