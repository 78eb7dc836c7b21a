"""Cursors bring back the values that the database compared."""

from __future__ import annotations

from decimal import Decimal

import pytest

from semilayer_pipelines.bridges.cursors import Scalar, decode, encode, tracked


@pytest.mark.parametrize(
    "value",
    [0, -(2**63), 2**64 - 1, 0.1, -1e-300, "", "é\U0001f389\n\"'", b"\x00\xff", Decimal("1.10")],
)
def test_a_value_comes_back_with_its_type(value: Scalar) -> None:
    (back,) = decode(encode([value]))

    assert back == value
    assert type(back) is type(value)
    assert str(back) == str(value)


def test_the_tracked_value_is_the_first() -> None:
    assert tracked(encode([b"\x00\x07", 7])) == encode([b"\x00\x07"])


def test_what_is_no_cursor_is_an_error() -> None:
    with pytest.raises(ValueError, match="tag"):
        decode('[["x","1"]]')
