"""Batches take about a quarter of a second, on a slow processor and on an accelerator."""

import pytest

from semilayer_pipelines.embedder_service.batch_size import (
    FIRST_BUDGET,
    MAX_BUDGET,
    MIN_BUDGET,
    TARGET_SECONDS,
    next_budget,
)


@pytest.mark.parametrize(
    ("characters_per_second", "wanted"),
    [(4_000, MIN_BUDGET), (100_000, 100_000 * TARGET_SECONDS), (10**9, MAX_BUDGET)],
)
def test_the_budget_settles_where_the_speed_wants_it(
    characters_per_second: int, wanted: float
) -> None:
    budget = FIRST_BUDGET
    for _ in range(20):
        budget = next_budget(budget, budget, budget / characters_per_second)

    assert budget == pytest.approx(wanted, rel=0.01)


def test_one_quick_batch_does_not_decide_alone() -> None:
    assert next_budget(FIRST_BUDGET, FIRST_BUDGET, 0.0) == 2 * FIRST_BUDGET
