"""The webhook's benchmark comes to its end and counts right; its speeds are not looked at here."""

from __future__ import annotations

import pytest

from benchmarks.webhook import Size, measure

TINY = Size(
    rounds=1,
    seconds=0.2,
    connections=4,
    large_changes=100,
    large_calls=2,
    starts=1,
    resident_calls=3,
)


@pytest.mark.slow
def test_every_answered_call_of_the_benchmark_is_in_the_registry() -> None:
    results = {result.name: result for result in measure(TINY)}

    assert results["webhook: changes kept of both"].value == 600
    assert not [name for name, result in results.items() if result.wrong]
    rate = results["webhook, SQLite: 1-change calls"]
    share = results["webhook, SQLite: of the bare endpoint"]
    assert rate.ratio == share.value > 0
