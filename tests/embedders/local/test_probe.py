"""Vectors that point elsewhere are not the model's own, on average and one by one."""

import numpy as np
import pytest

from semilayer_pipelines.embedders.local.probe import closeness

REFERENCE = np.sign(np.random.default_rng(1).normal(size=(100, 64))).astype(np.float32)


def test_the_same_directions_hold_whatever_their_length() -> None:
    close = closeness(REFERENCE * np.float32(3), REFERENCE)

    assert close.holds
    assert close.least == pytest.approx(1)


def test_one_vector_that_points_elsewhere_is_enough_to_fail() -> None:
    ours = REFERENCE.copy()
    ours[50] = -ours[50]

    assert not closeness(ours, REFERENCE).holds


def test_many_vectors_a_little_off_fail_on_average() -> None:
    off = REFERENCE + np.float32(0.08) * np.roll(REFERENCE, 1, axis=0)

    close = closeness(off, REFERENCE)

    assert close.least > 0.99
    assert close.mean < 0.999
    assert not close.holds


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_vector_that_is_none_fails(bad: float) -> None:
    ours = REFERENCE.copy()
    ours[3] = bad

    assert not closeness(ours, REFERENCE).holds
