"""Ranks fused: rows found twice, words that say little, and what is named."""

from __future__ import annotations

import polars as pl
import pytest

from semilayer_pipelines.queries.coverage import coverage
from semilayer_pipelines.queries.fusion import BEHIND, fused

MEANT = [f"m{n}" for n in range(1, 61)]


def test_a_row_of_both_lists_comes_before_the_first_of_one() -> None:
    both = fused(["a", "b", "c"], {"d": 1.0, "b": 1.0})
    assert list(both) == ["b", "a", "d", "c"]


def test_words_that_are_a_small_part_of_the_query_do_not_change_the_order_by_meaning() -> None:
    common = {"m3": 0.3, "m40": 0.3, "other": 0.3}
    order = list(fused(MEANT, common))
    assert order[:5] == MEANT[:5]
    assert order.index("m40") < order.index("m20")  # a little they count

    telling = {"m3": 0.3, "m40": 0.95, "other": 0.3}
    assert next(iter(fused(MEANT, telling))) == "m40"


def test_what_meaning_does_not_find_has_a_place_behind_the_first_by_meaning() -> None:
    order = list(fused(MEANT, {"name": 0.1, "next": 0.1}))
    assert order[:BEHIND] == MEANT[:BEHIND]
    assert order[BEHIND] == "name"
    assert order.index("next") < 10


def test_a_row_that_has_all_of_the_query_counts_as_much_as_one_by_meaning() -> None:
    assert list(fused(["a", "c"], {"b": 1.0, "d": 1.0})) == ["a", "b", "c", "d"]


def test_a_score_is_a_share_of_what_the_first_of_every_list_gets() -> None:
    scores = fused(["a", "b"], {"a": 1.0, "c": 1.0}, ["a"])
    assert scores["a"] == pytest.approx(1)
    assert scores["b"] == pytest.approx(61 / 62 / 3)
    assert fused(["a"], {})["a"] == pytest.approx(1 / 2)


def test_a_named_row_outweighs_any_place_in_the_other_lists() -> None:
    named = fused([], {"named": 0.1, "other": 1.0}, ["named"])
    assert next(iter(named)) == "named"
    worst = fused(["other"], {"named": 1.0, "other": 1.0}, ["named"])
    assert next(iter(worst)) == "named"


def test_equal_scores_have_one_order() -> None:
    assert list(fused(["b"], {"a": 1.0})) == ["a", "b"]
    assert fused([], {}) == {}


def test_coverage_counts_rare_words_for_more_than_common_ones() -> None:
    texts = pl.Series(["the of ncdu", *["the of"] * 30, "of"])

    rare, *common, one = coverage(texts, ["the", "of", "ncdu"])

    assert rare == pytest.approx(1)
    assert one < common[0] < 0.1
    assert coverage(texts, ["ncdu", "nowhere"])[0] < 0.5


def test_coverage_looks_for_whole_words_wherever_they_stand() -> None:
    texts = pl.Series(["a.b c", "c a.b", "a.bc xc", "x c x", None, ""])
    first, second, *_, part, no_words, empty = coverage(texts, ["a.b", "c"])
    assert first == second == 1
    assert 0 < part < 1
    assert no_words == empty == 0
    assert coverage(texts, ["a.b", "c"])[2] == 0
    assert coverage(pl.Series([], dtype=pl.String), ["a"]) == []


def test_a_query_whose_words_every_row_has_is_covered_by_every_row() -> None:
    assert coverage(pl.Series(["disk full", "full disk"]), ["full", "disk"]) == [1, 1]
