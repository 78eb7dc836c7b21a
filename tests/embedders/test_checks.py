"""No vector that a search could never find gets past the checks."""

import numpy as np
import pytest

from semilayer_pipelines.embedders.checks import check_texts, checked
from semilayer_pipelines.errors import DimensionChanged, EmbeddingRejected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_with_one_bad_number_is_refused_by_position(bad: float) -> None:
    vectors = np.ones((4, 3), np.float32)
    vectors[2, 1] = bad

    with pytest.raises(EmbeddingRejected) as caught:
        checked(vectors, 3)

    assert caught.value.positions == (2,)
    assert "1 of 4 vectors" in caught.value.message


def test_zero_vectors_are_refused_and_only_a_few_positions_are_spelled_out() -> None:
    vectors = np.zeros((40, 3), np.float32)
    vectors[0] = 1

    with pytest.raises(EmbeddingRejected) as caught:
        checked(vectors, 3)

    assert caught.value.positions == tuple(range(1, 40))
    assert "positions 1, 2, 3, 4, 5, …" in caught.value.message


def test_a_wrong_dimension_names_both_numbers() -> None:
    with pytest.raises(DimensionChanged, match=r"of 3 numbers, and 4 were declared"):
        checked(np.ones((1, 3), np.float32), 4)


def test_good_vectors_pass_unchanged() -> None:
    vectors = np.array([[3.0, 4.0], [1e-12, 0.0]], np.float32)

    assert checked(vectors, None) is vectors


def test_a_lone_surrogate_is_refused_by_position() -> None:
    check_texts(["plain", "naïve", "\N{GRINNING FACE}"])

    with pytest.raises(EmbeddingRejected) as caught:
        check_texts(["fine", "bad \ud83d", "fine too", "\ude00"])

    assert caught.value.positions == (1, 3)
