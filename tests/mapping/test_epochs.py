"""Numbers that stand for times: their unit follows from column and configuration alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.bridges.protocol import Column, ColumnKind, Table
from semilayer_pipelines.config.transforms import EpochUnit
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.epochs import check_epochs, is_assumed
from semilayer_pipelines.mapping.mapped import Mapped
from tests.mapping.making import lens, page, reasons

PER_SECOND = {
    "seconds": 1,
    "milliseconds": 10**3,
    "microseconds": 10**6,
    "nanoseconds": 10**9,
}
NARROW = 2**31 - 1


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


def column(kind: ColumnKind, highest: int | None = None) -> Column:
    return Column("v", kind, True, kind, highest)


def mapped(field: dict[str, Any], values: list[Any], of: Column, dtype: Any = None) -> Mapped:
    table = Table("t", (Column("id", "integer", False, "integer"), of), ("id",))
    compiled = compile_mapping(lens(v=field), table, key=("id",), model_fingerprint="m")
    return compiled.apply(page(values, dtype))


def times(field: dict[str, Any], values: list[Any], of: Column, dtype: Any = None) -> list[Any]:
    result = mapped(field, values, of, dtype)
    assert reasons(result) == []
    return result.frame["v"].to_list()


@pytest.mark.parametrize("unit", list(PER_SECOND))
def test_each_unit_is_read_from_columns_of_every_kind(unit: EpochUnit) -> None:
    field = {"type": "date", "transform": {"type": "toDate", "unit": unit}}
    per = PER_SECOND[unit]
    moments = [utc(2023, 11, 14, 22, 13, 20), utc(1969, 12, 31), utc(1970, 1, 1), None]
    whole = [1_700_000_000 * per, -86_400 * per, 0, None]
    texts = [None if n is None else f" {n} " for n in whole]
    floats = [None if n is None else float(n) for n in whole]

    assert times(field, whole, column("integer")) == moments
    assert times(field, whole, column("integer", NARROW)) == moments
    assert times(field, floats, column("number")) == moments
    assert times(field, texts, column("number"), pl.String) == moments
    assert times(field, texts, column("text"), pl.String) == moments
    assert times(field, texts, column("datetime"), pl.String) == moments
    unsigned = [n for n in whole if n is not None and n >= 0]
    assert times(field, unsigned, column("integer"), pl.UInt64) == [moments[0], moments[2]]


@pytest.mark.parametrize("transform", [{}, {"transform": "toDate"}])
def test_without_a_unit_narrow_integers_are_seconds_and_others_milliseconds(
    transform: dict[str, str],
) -> None:
    field = {"type": "date", **transform}
    now = [utc(2023, 11, 14, 22, 13, 20)]

    assert times(field, [1_700_000_000], column("integer", NARROW)) == now
    assert times(field, [1_700_000_000], column("integer", 2**32 - 1)) == now
    assert times(field, [1_700_000_000_000], column("integer")) == now
    assert times(field, [1_700_000_000_000.0], column("number")) == now
    assert times(field, ["1700000000000.00"], column("number")) == now
    # What a number counts is never guessed from its size.
    assert times(field, [1_700_000_000], column("integer")) == [utc(1970, 1, 20, 16, 13, 20)]


def test_a_unit_leaves_iso_texts_what_they_are() -> None:
    field = {"type": "date", "transform": {"type": "toDate", "unit": "seconds"}}

    found = times(field, ["2024-05-01", "1700000000", "soon"], column("text"))

    assert found == [utc(2024, 5, 1), utc(2023, 11, 14, 22, 13, 20), None]


def test_a_fraction_is_kept_to_the_microsecond() -> None:
    field = {"type": "date", "transform": {"type": "toDate", "unit": "seconds"}}
    wanted = [dt.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=dt.UTC)]

    assert times(field, [1_700_000_000.123456], column("number")) == wanted
    assert times(field, ["1700000000.123456"], column("number")) == wanted
    nano = {"type": "date", "transform": {"type": "toDate", "unit": "nanoseconds"}}
    assert times(nano, [1_700_000_000_123_456_789], column("integer")) == wanted
    assert times(nano, ["1700000000123456789"], column("text")) == wanted


@pytest.mark.parametrize("unit", list(PER_SECOND))
def test_a_number_outside_of_the_calendar_is_no_date(unit: EpochUnit) -> None:
    field = {"type": "date", "transform": [{"type": "toDate", "unit": unit}]}
    values = [2**63 - 1, -(2**63)] if unit != "nanoseconds" else []

    assert times(field, [*values, None], column("integer")) == [None] * (len(values) + 1)
    assert times(field, [1e300, -1e300, float("nan")], column("number")) == [None] * 3


def test_a_function_of_ones_own_gives_milliseconds_whatever_its_column_is(tmp_path: Any) -> None:
    (tmp_path / "in_millis.py").write_text("def scaled(values):\n    return values * 1000\n")
    table = Table("t", (column("integer", NARROW), Column("id", "integer", False, "i")), ("id",))
    compiled = compile_mapping(
        lens(v={"type": "date", "transform": "in_millis:scaled"}),
        table,
        key=("id",),
        model_fingerprint="m",
        project_dir=tmp_path,
    )

    assert compiled.apply(page([1_700_000_000])).frame["v"].to_list() == [
        utc(2023, 11, 14, 22, 13, 20)
    ]


@pytest.mark.parametrize(
    ("of", "values", "unit"),
    [
        (column("integer"), [0, 1_700_000_000, None], "seconds"),
        (column("integer"), [-5, 1_000_000], "seconds"),
        (column("integer"), [1_700_000_000_000_000], "microseconds"),
        (column("number"), [1.7e18], "nanoseconds"),
        (column("number"), ["1700000000.5"], "seconds"),
        (column("text"), ["1700000000", None, "1700000001"], "seconds"),
        (column("text"), ["1700000000000"], "milliseconds"),
        (column("datetime"), ["1700000000"], "seconds"),
        (column("integer", NARROW), [20240501, 20240502], "seconds"),
    ],
)
def test_numbers_that_are_nobodys_times_are_refused_with_the_cure(
    of: Column, values: list[Any], unit: str
) -> None:
    field = lens(v={"type": "date"}).fields["v"]

    assert is_assumed(field)
    with pytest.raises(ConfigError, match="'v'") as refusal:
        check_epochs("v", field, [of], page(values))

    assert f"unit: {unit}}}" in str(refusal.value)


@pytest.mark.parametrize(
    ("of", "values"),
    [
        (column("integer"), [1_700_000_000_000, 0, 5]),
        (column("number"), ["1700000000000"]),
        (column("integer", NARROW), [1_700_000_000, 7]),
        (column("integer"), [0, None]),
        (column("integer"), []),
        (column("text"), ["2024-05-01", "1700000000"]),
        (column("datetime"), [dt.datetime(2024, 5, 1), None]),
        (column("date"), [dt.date(2024, 5, 1)]),
    ],
)
def test_numbers_that_can_be_times_and_columns_without_numbers_pass(
    of: Column, values: list[Any]
) -> None:
    check_epochs("v", lens(v={"type": "date"}).fields["v"], [of], page(values))


def test_who_says_what_numbers_count_is_believed() -> None:
    said = {"type": "date", "transform": {"type": "toDate", "unit": "milliseconds"}}

    assert not is_assumed(lens(v=said).fields["v"])
    assert not is_assumed(lens(v={"type": "number"}).fields["v"])
