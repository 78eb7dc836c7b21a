"""The vectors that stand in for real ones lie where real ones do."""

from __future__ import annotations

import numpy as np

from benchmarks.recall_vectors import DIMENSION, Vectors, rows_like


def unit(vectors: Vectors) -> Vectors:
    found: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def test_a_made_vector_is_near_two_real_ones_and_equals_none() -> None:
    # given real vectors in two groups that have nothing to do with each other
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((2, DIMENSION), dtype=np.float32)
    spread = rng.standard_normal((600, DIMENSION), dtype=np.float32)
    real = unit(np.repeat(centres, 300, axis=0) + 0.5 * spread)

    # when
    made = rows_like(real, 1_000, rng)

    # then
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    near = made @ real.T
    assert near.max() < 0.999
    beside, apart = np.sort(near.reshape(1_000, 2, 300).mean(axis=2), axis=1).T[::-1]
    assert beside.min() > 0.6
    assert np.abs(apart).max() < 0.3
