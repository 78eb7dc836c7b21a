"""From source columns to one value: `from`, `merge`, `undefinedAs`, `nullAs`, in that order."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.mapping.compile import compile_mapping
from tests.mapping.making import lens, table, values_of

NAMES = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "first": ["Ada", None, None],
        "last": ["Lovelace", "Hopper", None],
        "born": [1815, 1906, None],
    }
)


def resolved(**field: Any) -> list[Any]:
    mapping = compile_mapping(
        lens(v={"type": "text", **field}),
        table(id="integer", first="text", last="text", born="integer"),
        key=("id",),
        model_fingerprint="m",
    )
    return mapping.apply(NAMES).frame["v"].to_list()


def test_a_field_takes_the_column_of_its_own_name_unless_from_names_another() -> None:
    assert values_of({"type": "text"}, ["x"]) == ["x"]
    assert resolved(**{"from": "last"}) == ["Lovelace", "Hopper", None]


def test_concat_drops_nulls_and_gives_an_empty_text_when_nothing_is_left() -> None:
    field = {"from": ["first", "last", "born"], "merge": "concat", "separator": " "}

    assert resolved(**field) == ["Ada Lovelace 1815", "Hopper 1906", ""]


def test_coalesce_takes_the_first_value_and_gives_null_when_there_is_none() -> None:
    assert resolved(**{"from": ["first", "last"], "merge": "coalesce"}) == ["Ada", "Hopper", None]
    assert resolved(**{"from": ["first", "born"], "merge": "coalesce"}) == ["Ada", "1906", None]


def test_null_as_stands_in_for_null_after_the_merge() -> None:
    coalesced = {"from": ["first", "last"], "merge": "coalesce", "nullAs": "nobody"}
    joined = {"from": ["first", "last"], "merge": "concat", "separator": " ", "nullAs": "nobody"}

    assert resolved(**coalesced) == ["Ada", "Hopper", "nobody"]
    assert resolved(**joined) == ["Ada Lovelace", "Hopper", ""]


def test_null_as_comes_before_the_transforms() -> None:
    assert resolved(**{"from": "first", "nullAs": " ? ", "transform": "trim"}) == ["Ada", "?", "?"]


def test_undefined_as_fills_a_missing_column_and_never_a_null() -> None:
    assert resolved(undefinedAs="gone") == ["gone"] * 3
    assert resolved(**{"from": "first", "undefinedAs": "gone"}) == ["Ada", None, None]


def test_null_as_follows_undefined_as() -> None:
    assert resolved(undefinedAs=None) == [None] * 3
    assert resolved(undefinedAs=None, nullAs="null") == ["null"] * 3


def test_a_missing_part_of_a_merge_is_passed_over_when_undefined_as_allows_it() -> None:
    field = {"from": ["middle", "last"], "merge": "coalesce", "undefinedAs": None}

    assert resolved(**field) == ["Lovelace", "Hopper", None]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"type": "number", "undefinedAs": 3}, 3.0),
        ({"type": "boolean", "undefinedAs": False}, False),
        ({"type": "text", "array": True, "undefinedAs": ["a", 1]}, ["a", "1"]),
        ({"type": "json", "undefinedAs": {"a": [1]}}, '{"a":[1]}'),
    ],
)
def test_undefined_as_may_be_of_any_kind(field: dict[str, Any], expected: Any) -> None:
    mapping = compile_mapping(
        lens(gone=field), table(id="integer"), key=("id",), model_fingerprint="m"
    )

    assert mapping.apply(NAMES).frame["gone"].to_list() == [expected] * 3
    assert mapping.apply(NAMES.clear()).frame["gone"].to_list() == []


def test_null_as_keeps_the_kind_of_the_column_or_leaves_it_to_the_type() -> None:
    assert values_of({"type": "number", "nullAs": 0}, [1, None], "integer") == [1, 0]
    assert values_of({"type": "number", "nullAs": 0.5}, [1, None], "integer") == [1.0, 0.5]
    assert values_of({"type": "boolean", "nullAs": 1}, [False, None], "boolean") == [False, True]
    field = {"type": "text", "array": True, "nullAs": ["none"]}
    assert values_of(field, [["a"], None], "other") == [["a"], ["none"]]
    assert values_of(field, ['["a"]', None]) == [["a"], ["none"]]


@pytest.mark.parametrize("constant", ["none", ["none"]])
@pytest.mark.parametrize("step", ["nullAs", "default"])
def test_a_constant_beside_lists_is_a_list_of_one(step: str, constant: object) -> None:
    filled = {"nullAs": constant}
    if step == "default":
        filled = {"transform": [{"type": "default", "value": constant}]}
    lists = [["a", "b"], [], None]
    field = {"type": "text", "array": True} | filled
    assert values_of(field, lists, "other", pl.List(pl.String)) == [["a", "b"], [], ["none"]]
    # As one text, which is how a field that is no list has it.
    assert values_of({"type": "text"} | filled, lists, "other", pl.List(pl.String)) == [
        "a, b",
        "",
        "none",
    ]


@pytest.mark.parametrize(
    ("values", "constant", "expected"),
    [
        ([[1, None], None], [0, 2], ["[1,null]", "[0,2]"]),
        ([[1], None], 0, ["[1]", "[0]"]),
        ([[1], None], [], ["[1]", "[]"]),
        ([[1], None], [0.5], ["[1.0]", "[0.5]"]),
        ([[1.5], None], [0], ["[1.5]", "[0.0]"]),
        ([[True], None], [False], ["[true]", "[false]"]),
        ([["a"], None], ["b"], ['["a"]', '["b"]']),
        ([["a"], None], [{"b": 1}], ['["a"]', '["{\\"b\\":1}"]']),
        ([["a"], None], [2], ['["a"]', '["2"]']),
        ([[True], None], [2], ['["true"]', '["2"]']),
    ],
    ids=str,
)
def test_elements_beside_a_constant_stay_what_they_are(
    values: list[object], constant: object, expected: list[str]
) -> None:
    assert values_of({"type": "json", "nullAs": constant}, values, "other") == expected
