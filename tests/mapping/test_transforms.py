"""The built-in transforms do what the reference says, null included."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semilayer_pipelines.mapping.transforms import rust_replacement
from tests.mapping.making import mapped, reasons, values_of


@pytest.mark.parametrize(
    ("step", "given_values", "expected"),
    [
        ("toString", ["a", None], ["a", ""]),
        ("trim", ["  a\t\n", None], ["a", ""]),
        ("lowercase", ["ÄB", None], ["äb", ""]),
        ("uppercase", ["äb", None], ["ÄB", ""]),
        ({"type": "truncate", "length": 2}, ["äöü", "x", None], ["äö", "x", None]),
        ({"type": "truncate", "length": 10**30}, ["äöü", "x", None], ["äöü", "x", None]),
        ({"type": "default", "value": "none"}, ["a", "", None], ["a", "", "none"]),
    ],
)
def test_text_transforms(step: Any, given_values: list[Any], expected: list[Any]) -> None:
    assert values_of({"type": "text", "transform": step}, given_values) == expected


def test_to_string_writes_numbers_as_a_person_would() -> None:
    field = {"type": "text", "transform": "toString"}

    assert values_of(field, [5.0, 2.5, None], "number") == ["5", "2.5", ""]


def test_to_boolean_knows_three_words_and_everything_else_is_false() -> None:
    field = {"type": "boolean", "transform": "toBoolean"}

    assert values_of(field, ["true", "YES", "1", "on", "", None]) == [True] * 3 + [False] * 3
    assert values_of(field, [1, 0, 2, None], "integer") == [True, False, False, False]


def test_to_number_sets_a_row_aside_that_is_no_number() -> None:
    result = mapped({"type": "number", "transform": "toNumber"}, ["7", "seven", None])

    assert result.frame["v"].to_list() == [7.0, None]
    assert reasons(result) == ["field v: 'seven' is not a number"]


def test_to_date_makes_null_of_what_is_no_date() -> None:
    field = {"type": "date", "transform": "toDate"}
    new_year = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)

    assert values_of(field, ["2024-01-01", "soon", None]) == [new_year, None, None]
    assert values_of(field, [1704067200000, None], "integer") == [new_year, None]


@pytest.mark.parametrize(
    ("step", "given_values", "expected"),
    [
        ("round", [0.5, 1.5, 2.5, -0.5, None], [0.0, 2.0, 2.0, 0.0, None]),
        ({"type": "round", "decimals": 1}, [0.25, 0.35, 1.0], [0.2, 0.4, 1.0]),
        ({"type": "round", "mode": "ceil"}, [1.0, 1.01, -1.5], [1.0, 2.0, -1.0]),
        ({"type": "round", "mode": "floor"}, [1.0, 1.99, -1.5], [1.0, 1.0, -2.0]),
        ({"type": "round", "decimals": 1, "mode": "ceil"}, [1.1, 1.12], [1.1, 1.2]),
        ({"type": "round", "decimals": 1, "mode": "floor"}, [1.1, 1.19], [1.1, 1.1]),
    ],
)
def test_round_and_its_modes(step: Any, given_values: list[Any], expected: list[Any]) -> None:
    assert values_of({"type": "number", "transform": step}, given_values, "number") == expected


def test_rounded_zero_has_one_sign_so_that_equal_numbers_hash_alike() -> None:
    field = {"type": "number", "transform": "round"}
    positive, negative = (mapped(field, [zero], "number").frame for zero in (0.4, -0.4))

    assert positive["_row_hash"].to_list() == negative["_row_hash"].to_list()


@pytest.mark.parametrize(
    ("pattern", "replacement", "text", "expected"),
    [
        ("a", "b", "banana", "bbnbnb"),
        (r"(\w+) (\w+)", "$2 $1", "left right", "right left"),
        ("(a)", "$1x", "a", "ax"),
        ("(a)", "$12", "a", "a2"),
        ("a", "$1", "a", "$1"),
        ("a", "[$&]", "a", "[a]"),
        ("a", "$$", "a", "$"),
        ("a", "5 $", "a", "5 $"),
        ("(?P<n>a)", "<$<n>>", "a", "<a>"),
    ],
)
def test_replace_takes_every_match_and_the_group_notation_of_javascript(
    pattern: str, replacement: str, text: str, expected: str
) -> None:
    step = {"type": "replace", "pattern": pattern, "replacement": replacement}

    assert values_of({"type": "text", "transform": step}, [text, None]) == [expected, None]


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_characters="\0")))  # no configuration holds NUL
def test_a_replacement_without_groups_is_never_mistaken_for_one(replacement: str) -> None:
    literal = replacement.replace("$", "")
    step = {"type": "replace", "pattern": "x", "replacement": literal}

    assert rust_replacement("x", literal) == literal
    assert values_of({"type": "text", "transform": step}, ["axb"]) == [f"a{literal}b"]


def test_split_and_join_are_inverse() -> None:
    steps = [{"type": "split", "separator": ","}, {"type": "join", "separator": ";"}]

    assert values_of({"type": "text", "transform": steps}, ["a,b", "a", None]) == ["a;b", "a", None]


def test_steps_after_split_work_on_the_elements() -> None:
    steps = [{"type": "split", "separator": ","}, "trim", "uppercase"]
    field = {"type": "text", "array": True, "transform": steps}

    assert values_of(field, ["a, b", None]) == [["A", "B"], None]


def test_steps_are_applied_from_left_to_right() -> None:
    cut_first = [{"type": "truncate", "length": 2}, "trim"]
    trim_first = ["trim", {"type": "truncate", "length": 2}]

    assert values_of({"type": "text", "transform": cut_first}, [" abc"]) == ["a"]
    assert values_of({"type": "text", "transform": trim_first}, [" abc"]) == ["ab"]


def test_a_default_of_another_kind_is_judged_by_the_type_of_the_field() -> None:
    step = {"type": "default", "value": "unknown"}
    result = mapped({"type": "number", "transform": step}, [1, None], "integer")

    assert result.frame["v"].to_list() == [1.0]
    assert reasons(result) == ["field v: 'unknown' is not a number"]
