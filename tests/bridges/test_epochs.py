"""Numbers that may be times, and what is 30 s before them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from semilayer_pipelines.bridges.cursors import Scalar
from semilayer_pipelines.bridges.epochs import epoch_unit, moved_to, number_of

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
SECONDS = 1_714_564_800
HOUR = timedelta(hours=1)
HALF_A_MINUTE = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("value", "before"),
    [
        (SECONDS, SECONDS - 30),
        (SECONDS * 1_000 + 7, SECONDS * 1_000 - 29_993),
        (SECONDS * 1_000_000, (SECONDS - 30) * 1_000_000),
        (SECONDS * 1_000_000_000, (SECONDS - 30) * 1_000_000_000),
        (SECONDS + 0.5, float(SECONDS - 30)),
        (Decimal(f"{SECONDS}.250"), Decimal(SECONDS - 30)),
        (f"{SECONDS}", f"{SECONDS - 30}"),
        (f"00{SECONDS}.5", f"00{SECONDS - 30}"),
    ],
)
def test_a_number_of_this_hour_is_moved_back_in_its_own_unit_and_type(
    value: Scalar, before: Scalar
) -> None:
    unit = epoch_unit(value, NOW - HOUR, NOW + HOUR)

    assert unit is not None
    moved = moved_to(value, unit, NOW + HOUR, HALF_A_MINUTE)
    assert (moved, type(moved)) == (before, type(value))
    # and no later than that before now, where the number is ahead
    assert number_of(moved_to(value, unit, NOW - HOUR, HALF_A_MINUTE)) == ((SECONDS - 3_630) * unit)


@pytest.mark.parametrize(
    "value",
    [1_000_000, 0, -SECONDS, SECONDS + 3_601, SECONDS - 3_600, float("nan"), float("inf"),
     Decimal("NaN"), "2024-05-01 12:00:00", "018f", "", "١٧", b"\x66\x32\x2b\x00"],
)  # fmt: skip
def test_any_other_value_is_no_time(value: Scalar) -> None:
    assert epoch_unit(value, NOW - HOUR, NOW + HOUR) is None
