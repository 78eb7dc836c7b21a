"""Cursors bring back the values that the database compared."""

from __future__ import annotations

from decimal import Decimal

import pytest

from semilayer_pipelines.bridges.cursors import Scalar, decode, earlier, encode, tracked_text


@pytest.mark.parametrize(
    "value",
    [0, -(2**63), 2**64 - 1, 0.1, -1e-300, "", "é\U0001f389\n\"'", b"\x00\xff", Decimal("1.10")],
)
def test_a_value_comes_back_with_its_type(value: Scalar) -> None:
    (back,) = decode(encode([value]))

    assert back == value
    assert type(back) is type(value)
    assert str(back) == str(value)


def test_the_tracked_text_is_the_first_value() -> None:
    assert tracked_text(encode(["2024-05-01 10:00:00.5", 7])) == "2024-05-01 10:00:00.5"


def test_what_is_no_cursor_is_an_error() -> None:
    with pytest.raises(ValueError, match="tag"):
        decode('[["x","1"]]')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01 10:00:00", "2024-05-01 09:59:30"),
        ("2024-05-01T10:00:00.123Z", "2024-05-01T09:59:30.123Z"),
        ("2024-05-01 10:00:00.000001+00", "2024-05-01 09:59:30.000001+00"),
        ("2024-03-01 00:00:10", "2024-02-29 23:59:40"),
        ("2024-03-01", "2024-02-29"),
        ("12345", "12345"),
        ("infinity", "infinity"),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00"),
        ("0099-01-01 00:01:00", "0099-01-01 00:00:30"),
    ],
)
def test_a_time_moves_back_in_its_own_notation(text: str, expected: str) -> None:
    assert earlier(text, 30) == expected
