"""Ranks fused: what is high in several lists comes before what leads one."""

from __future__ import annotations

import pytest

from semilayer_pipelines.queries.fusion import fused


def test_a_row_of_two_lists_comes_before_the_first_of_one() -> None:
    both = fused([["a", "b", "c"], ["d", "b"]])
    assert list(both) == ["b", "a", "d", "c"]


def test_a_score_is_a_share_of_what_the_first_of_every_list_gets() -> None:
    scores = fused([["a", "b"], ["a", "c"], ["a"]])
    assert scores["a"] == pytest.approx(1)
    assert scores["b"] == pytest.approx(61 / 62 / 3)
    assert fused([["a"], []])["a"] == pytest.approx(1 / 2)


def test_a_third_list_outweighs_any_place_in_two() -> None:
    named = fused([[], ["named", "other"], ["named"]])
    assert next(iter(named)) == "named"
    worst = fused([["other"], ["named", "other"], ["named"]])
    assert next(iter(worst)) == "named"


def test_equal_scores_have_one_order() -> None:
    assert list(fused([["b"], ["a"]])) == ["a", "b"]
    assert fused([[], []]) == {}
