"""Which objects a search for their own vectors has to find, and which may stand before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
import pytest

from semilayer_pipelines.stores.own_vector import unfound
from semilayer_pipelines.stores.protocol import VECTOR

NEAREST = "own"
HELD = pl.DataFrame(
    {"name": [NEAREST], VECTOR: [[1.0, 0.0]]}, schema_overrides={VECTOR: pl.Array(pl.Float32, 2)}
)


@pytest.mark.parametrize(
    ("before", "spread", "lost"),
    [
        (0, 0.0, False),
        (9, 0.1, False),
        (10, 0.1, True),  # a row that only a deep search finds, which nobody asks
        (10, 0.0, False),  # ten rows of its very vector
        (199, 0.0, False),
        (200, 0.0, False),  # so many that nobody can tell
        (200, 0.1, True),
    ],
)
def test_only_rows_of_the_same_vector_may_stand_before_one(
    before: int, spread: float, lost: bool
) -> None:
    found = {f"other {n}": spread * n for n in range(before)} | {NEAREST: 0.0}

    def ask(vector: Sequence[float], limit: int) -> Mapping[str, float]:
        return dict(list(found.items())[:limit])

    assert unfound(HELD, "name", ask, compressed=False) == ([NEAREST] if lost else [])


@pytest.mark.parametrize("others", [10, 64, 200, 1_000])
def test_a_crowd_of_one_vector_beside_a_row_is_no_excuse_for_losing_it(others: int) -> None:
    """A graph keeps the links of a crowd among its own, so what lies beside it may get none."""
    for itself in (0.0, -1.0):
        crowd = {f"other {n}": itself + 0.1 for n in range(others)}

        def ask(_: Sequence[float], limit: int) -> Mapping[str, float]:
            return dict(list(crowd.items())[:limit])  # noqa: B023 - called within this turn

        lost = unfound(HELD, "name", ask, compressed=False, itself=itself)
        assert lost == [NEAREST]


def test_a_row_that_is_in_no_answer_is_lost_however_few_there_are() -> None:
    assert unfound(HELD, "name", lambda vector, limit: {"other": 0.5}, compressed=False) == [
        NEAREST
    ]
    assert unfound(HELD, "name", lambda *_: {}, compressed=True) == [NEAREST]


def test_a_compressed_index_may_rank_it_after_others() -> None:
    near = {f"other {n}": 0.1 * n for n in range(150)} | {NEAREST: 0.0}

    def ask(vector: Sequence[float], limit: int) -> Mapping[str, float]:
        return dict(list(near.items())[:limit])

    assert unfound(HELD, "name", ask, compressed=False) == [NEAREST]
    assert unfound(HELD, "name", ask, compressed=True) == []
