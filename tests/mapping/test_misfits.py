"""A value that only filters keeps no text out of the search, where the lens says so."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.bridges.protocol import ColumnKind
from semilayer_pipelines.bridges.unfit import unfit_name
from semilayer_pipelines.config.models import LensConfig, OnMisfit
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.mapped import LensMapping, Mapped
from tests.mapping.making import lens, page, reasons, table

MISFITS: list[tuple[dict[str, Any], ColumnKind, Any]] = [
    ({"type": "number"}, "text", "n/a"),
    ({"type": "number"}, "number", "NaN"),
    ({"type": "boolean"}, "text", "maybe"),
    ({"type": "boolean"}, "boolean", 2),
    ({"type": "date"}, "text", "soon"),
    ({"type": "json"}, "text", "{"),
    ({"type": "enum", "values": ["a", "b"]}, "text", "c"),
    ({"type": "number", "array": True}, "text", "none"),
]
NO_DATES = [
    "0000-00-00",
    "0000-00-00 00:00:00",
    "2024-00-00",
    "2024-02-30 10:00:00",
    "infinity",
    "-infinity",
    "0044-03-15 00:00:00 BC",
    "12024-01-01 00:00:00+00",
]


def compiled(field: dict[str, Any], kind: ColumnKind, **config: Any) -> LensMapping:
    whole = LensConfig.model_validate(
        lens(v=field).model_dump(by_alias=True, exclude_unset=True) | config
    )
    return compile_mapping(whole, table(id="integer", v=kind), key=("id",), model_fingerprint="m")


def applied(field: dict[str, Any], kind: ColumnKind, values: list[Any], **config: Any) -> Mapped:
    return compiled(field, kind, **config).apply(page(values))


@pytest.mark.parametrize(("field", "kind", "value"), MISFITS)
def test_a_misfit_sets_its_row_aside_unless_the_lens_leaves_it_empty(
    field: dict[str, Any], kind: ColumnKind, value: Any
) -> None:
    strict: tuple[dict[str, Any], ...] = ({}, {"onMisfit": "fail"})
    lenient: tuple[dict[str, Any], ...] = ({"onMisfit": "null"}, {"onMisfit": None})
    for said in strict:
        result = applied(field, kind, [None, value], **said)
        assert (result.frame.height, len(reasons(result)), result.nulled) == (1, 1, {})

    for said in lenient:
        result = applied(field, kind, [None, value, value], **said)
        assert (result.frame.height, reasons(result)) == (3, [])
        assert result.frame["v"].to_list() == [None] * 3
        assert result.nulled == {"v": 2}


@pytest.mark.parametrize("value", NO_DATES)
def test_a_time_that_no_calendar_has_is_left_empty_unless_the_lens_says_otherwise(
    value: str,
) -> None:
    field = {"type": "date"}

    # In a column of texts, as SQLite's are, and beside one of times, as servers give it.
    assert applied(field, "text", ["2024-05-01", value]).nulled == {"v": 1}
    rows = page([dt.datetime(2024, 5, 1), None, None]).with_columns(
        pl.Series(unfit_name("v"), [None, value, None])
    )
    result = compiled(field, "datetime").apply(rows)

    assert result.frame["v"].to_list() == [dt.datetime(2024, 5, 1, tzinfo=dt.UTC), None, None]
    assert (result.nulled, reasons(result)) == ({"v": 1}, [])
    strict = compiled(field, "datetime", onMisfit="fail").apply(rows)
    assert reasons(strict) == [f"field v: {value!r} is not a date"]


def test_a_number_that_no_calendar_has_is_left_empty() -> None:
    result = applied({"type": "date"}, "integer", [2**63 - 1, 1_700_000_000_000])

    assert (result.nulled, result.frame.height) == ({"v": 1}, 2)


@pytest.mark.parametrize("on_misfit", [None, "fail", "nullDates"])
def test_what_is_searched_must_fit_in_any_case(on_misfit: str | None) -> None:
    result = applied(
        {"type": "date", "searchable": True}, "text", ["0000-00-00"], onMisfit=on_misfit
    )

    assert (result.frame.height, result.nulled) == (0, {})
    assert reasons(result) == ["field v: '0000-00-00' is not a date"]


def test_whose_a_row_is_must_fit_in_any_case() -> None:
    field = {"type": "enum", "values": ["a", "b"]}

    result = applied(field, "text", ["a", "c", None], onMisfit=None, tenant="v")

    assert result.frame["v"].to_list() == ["a"]
    assert result.failed["_key"].to_list() == ["1", "2"]
    assert result.nulled == {}


def test_a_key_must_fit_in_any_case() -> None:
    rows = pl.DataFrame({"id": [None, 1], "v": ["a", "b"]})

    result = compiled({"type": "text"}, "text", onMisfit=None).apply(rows)

    assert result.frame["_key"].to_list() == ["1"]


def test_of_a_list_only_the_elements_that_do_not_fit_are_left_out() -> None:
    result = applied(
        {"type": "number", "array": True}, "json", ["[1, 2]", '[1, "x"]'], onMisfit=None
    )

    assert result.frame["v"].to_list() == [[1.0, 2.0], [1.0]]
    assert result.nulled == {"v": 1}


def test_what_becomes_of_misfits_is_part_of_what_the_mapping_means() -> None:
    prints = {
        compiled({"type": "date"}, "text", onMisfit=one.value).fingerprint for one in OnMisfit
    }

    assert len(prints) == len(OnMisfit)
    assert compiled({"type": "date"}, "text").fingerprint in prints
