"""What each type accepts, from every dtype a database may deliver, and what it sets aside."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semilayer_pipelines.bridges.protocol import ColumnKind
from tests.mapping.making import mapped, mapping, page, reasons, values_of

MOMENT = pl.Datetime("us", "UTC")


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("field", "kind", "dtype"),
    [
        ({"type": "text"}, "text", pl.String()),
        ({"type": "json"}, "json", pl.String()),
        ({"type": "enum", "values": ["a"]}, "text", pl.String()),
        ({"type": "number"}, "integer", pl.Int64()),
        ({"type": "number"}, "number", pl.Float64()),
        ({"type": "number"}, "text", pl.Float64()),
        ({"type": "boolean"}, "boolean", pl.Boolean()),
        ({"type": "date"}, "datetime", MOMENT),
        ({"type": "text", "array": True}, "other", pl.List(pl.String())),
        ({"type": "number", "array": True}, "other", pl.List(pl.Float64())),
        ({"type": "date", "array": True}, "text", pl.List(MOMENT)),
    ],
)
@pytest.mark.parametrize("rows", [0, 2])
def test_a_page_of_nothing_but_nulls_has_the_dtype_of_any_other(
    field: dict[str, Any], kind: ColumnKind, dtype: pl.DataType, rows: int
) -> None:
    for given_dtype in (pl.Null(), pl.String()):
        frame = mapped(field, [None] * rows, kind, given_dtype).frame

        assert frame["v"].dtype == dtype
        assert frame.height == rows


@pytest.mark.parametrize(
    ("field", "integer"),
    [
        ({"type": "number"}, True),
        ({"type": "number", "nullAs": 0}, True),
        ({"type": "number", "nullAs": 0.5}, False),
        ({"type": "number", "nullAs": True}, False),
        ({"type": "number", "transform": ["round", {"type": "default", "value": 1}]}, True),
        ({"type": "number", "transform": {"type": "default", "value": 1.5}}, False),
        ({"type": "number", "transform": "trim"}, False),
        ({"type": "number", "from": ["id", "v"], "merge": "coalesce"}, True),
        ({"type": "number", "from": ["id", "v"], "merge": "concat", "separator": ""}, False),
        ({"type": "text"}, False),
        ({"type": "number", "array": True}, False),
    ],
)
def test_a_number_is_an_integer_only_when_nothing_can_make_a_fraction_of_it(
    field: dict[str, Any], integer: bool
) -> None:
    assert mapping(field, "integer").fields[0].integer is integer
    assert mapping(field, "number").fields[0].integer is False


def test_numbers_come_from_texts_decimals_and_booleans() -> None:
    field = {"type": "number"}

    assert values_of(field, ["1", " 2.5 ", "1e3", None]) == [1.0, 2.5, 1000.0, None]
    assert values_of(field, [Decimal("1.50"), None], "number") == [1.5, None]
    assert values_of(field, [True, False], "boolean") == [1.0, 0.0]


def test_what_is_no_finite_number_is_set_aside() -> None:
    texts = mapped({"type": "number"}, ["abc", "", "NaN", "Infinity", "1e999", "3"])
    floats = mapped({"type": "number"}, [float("nan"), float("-inf"), 3.0], "number")

    assert texts.frame["v"].to_list() == floats.frame["v"].to_list() == [3.0]
    assert reasons(texts)[0] == "field v: 'abc' is not a number"
    assert len(reasons(texts)) == 5
    assert reasons(floats) == ["field v: nan is not a number", "field v: -inf is not a number"]


def test_integers_keep_all_64_bits_even_as_text() -> None:
    big = 2**53 + 1

    assert values_of({"type": "number"}, [big, -big], "integer") == [big, -big]
    assert values_of({"type": "number"}, [str(big), "5.0"], "integer") == [big, 5]


def test_fractions_and_overflow_in_an_integer_column_are_set_aside() -> None:
    texts = mapped({"type": "number"}, ["1.5", "7"], "integer")
    unsigned = mapped({"type": "number"}, [2**63, 7], "integer", pl.UInt64)

    assert texts.frame["v"].to_list() == unsigned.frame["v"].to_list() == [7]
    assert reasons(texts) == ["field v: '1.5' is not a whole number of 64 bits"]
    assert reasons(unsigned) == [f"field v: {2**63} is not a whole number of 64 bits"]


def test_booleans_come_from_zero_and_one_and_the_usual_words() -> None:
    field = {"type": "boolean"}

    assert values_of(field, [0, 1, None], "integer") == [False, True, None]
    assert values_of(field, ["true", "F", " no ", "1"]) == [True, False, False, True]
    assert reasons(mapped(field, [2], "integer")) == ["field v: 2 is neither true nor false"]
    assert reasons(mapped(field, ["maybe"])) == ["field v: 'maybe' is neither true nor false"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01", utc(2024, 5, 1)),
        ("2024-05-01 10:20:30", utc(2024, 5, 1, 10, 20, 30)),
        ("2024-05-01T10:20:30", utc(2024, 5, 1, 10, 20, 30)),
        ("2024-05-01 10:20", utc(2024, 5, 1, 10, 20)),
        ("2024-05-01T10:20Z", utc(2024, 5, 1, 10, 20)),
        ("2024-05-01T10:20:30Z", utc(2024, 5, 1, 10, 20, 30)),
        ("2024-05-01 10:20:30.123456", utc(2024, 5, 1, 10, 20, 30, 123456)),
        ("2024-05-01T10:20:30.5Z", utc(2024, 5, 1, 10, 20, 30, 500000)),
        ("2024-05-01 10:20:30+02", utc(2024, 5, 1, 8, 20, 30)),
        ("2024-05-01T10:20:30.25+02:00", utc(2024, 5, 1, 8, 20, 30, 250000)),
        ("2024-05-01T10:20:30-0330", utc(2024, 5, 1, 13, 50, 30)),
        (" 2024-05-01 ", utc(2024, 5, 1)),
    ],
)
def test_dates_are_read_from_every_iso_form_alone_and_in_company(
    text: str, moment: dt.datetime
) -> None:
    company = ["1999-12-31", "1999-12-31T23:59:59Z", None]

    assert values_of({"type": "date"}, [text]) == [moment]
    assert values_of({"type": "date"}, [*company, text])[-1] == moment
    assert values_of({"type": "date"}, [text, *company])[0] == moment


@pytest.mark.parametrize("text", ["soon", "", "2024-13-01", "0000-00-00", "01/02/2024", "20240501"])
def test_what_is_no_date_is_set_aside(text: str) -> None:
    result = mapped({"type": "date", "searchable": True}, ["2024-05-01", text])

    assert result.frame["v"].to_list() == [utc(2024, 5, 1)]
    assert reasons(result) == [f"field v: {text!r} is not a date"]


def test_dates_come_from_typed_columns_with_and_without_a_zone() -> None:
    field = {"type": "date"}
    zone = dt.timezone(dt.timedelta(hours=2))

    assert values_of(field, [dt.date(2024, 5, 1)], "date") == [utc(2024, 5, 1)]
    assert values_of(field, [dt.datetime(2024, 5, 1, 10)], "datetime") == [utc(2024, 5, 1, 10)]
    aware = [dt.datetime(2024, 5, 1, 10, tzinfo=zone)]
    assert values_of(field, aware, "datetime") == [utc(2024, 5, 1, 8)]
    assert values_of(field, [1714557600000], "integer") == [utc(2024, 5, 1, 10)]


def test_a_number_that_no_calendar_can_name_is_set_aside() -> None:
    result = mapped({"type": "date", "searchable": True}, [1e300, -1e17, 0.0], "number")

    assert result.frame["v"].to_list() == [utc(1970, 1, 1)]
    assert len(reasons(result)) == 2


def test_json_must_be_json() -> None:
    result = mapped({"type": "json"}, ['{"a": 1}', "[1]", "null", '"x"', "{a: 1}", "", None])

    assert result.frame["v"].to_list() == ['{"a": 1}', "[1]", "null", '"x"', None]
    assert reasons(result) == ["field v: '{a: 1}' is not JSON", "field v: '' is not JSON"]


def test_json_is_made_of_typed_values() -> None:
    assert values_of({"type": "json"}, [[1, 2], None], "other") == ["[1,2]", None]
    assert values_of({"type": "json"}, [{"a": "b"}, None], "json") == ['{"a":"b"}', None]


def test_an_enum_holds_only_its_values() -> None:
    result = mapped({"type": "enum", "values": ["web", "mobile"]}, ["web", "Web", None])

    assert result.frame["v"].to_list() == ["web", None]
    assert reasons(result) == ["field v: 'Web' is not one of web, mobile"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('["a", null, "b"]', ["a", "b"]),
        ("[]", []),
        ("{}", []),
        ("{a,NULL,b}", ["a", "b"]),
        (r'{"a b","say \"x\"","NULL"}', ["a b", 'say "x"', "NULL"]),
        ("[1, 2.5, true]", ["1", "2.5", "true"]),
    ],
)
def test_arrays_are_read_from_json_and_from_postgres_literals(
    text: str, expected: list[str]
) -> None:
    assert values_of({"type": "text", "array": True}, [text, None]) == [expected, None]


@pytest.mark.parametrize("text", ["a,b", "", "[1", "{a", "{{a},{b}}", "[" * 100_000])
def test_a_text_that_is_no_list_is_set_aside(text: str) -> None:
    result = mapped({"type": "text", "array": True}, [text, "[]"])

    assert result.frame["v"].to_list() == [[]]
    assert reasons(result)[0].endswith("is not a list of type text")


def test_one_bad_element_sets_the_row_aside() -> None:
    numbers = mapped({"type": "number", "array": True}, ["[1, 2]", '[1, "x"]', "[null]"])
    enums = mapped({"type": "enum", "values": ["a"], "array": True}, [["a"], ["a", "b"]], "other")

    assert numbers.frame["v"].to_list() == [[1.0, 2.0], []]
    assert enums.frame["v"].to_list() == [["a"]]
    assert reasons(enums) == ["field v: ['a', 'b'] is not a list of type enum"]


def test_bytes_are_text_only_when_they_are_utf8() -> None:
    result = mapped({"type": "text"}, [b"caf\xc3\xa9", b"\xff\xfe", None], "binary")

    assert result.frame["v"].to_list() == ["café", None]
    assert reasons(result) == ["field v: 2 bytes are not UTF-8 text"]


def test_long_values_are_cut_in_the_reason() -> None:
    (reason,) = reasons(mapped({"type": "number"}, ["x" * 10_000]))

    assert len(reason) < 100


anything = st.one_of(
    st.lists(st.none() | st.text(max_size=8), max_size=6).map(lambda v: (v, pl.String())),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=6).map(
        lambda v: (v, pl.Int64())
    ),
    st.lists(st.none() | st.floats(), max_size=6).map(lambda v: (v, pl.Float64())),
    st.lists(st.none() | st.booleans(), max_size=6).map(lambda v: (v, pl.Boolean())),
    st.lists(st.none() | st.binary(max_size=4), max_size=6).map(lambda v: (v, pl.Binary())),
    st.lists(st.none() | st.datetimes(), max_size=6).map(lambda v: (v, pl.Datetime("us"))),
    st.lists(st.none() | st.dates(), max_size=6).map(lambda v: (v, pl.Date())),
    st.lists(st.none() | st.lists(st.none() | st.text(max_size=4), max_size=3), max_size=6).map(
        lambda v: (v, pl.List(pl.String()))
    ),
)
types = st.sampled_from(
    [
        {"type": kind, "array": array, **({"values": ["a", "1"]} if kind == "enum" else {})}
        for kind in ("text", "number", "boolean", "date", "json", "enum")
        for array in (False, True)
    ]
)


@settings(deadline=None, max_examples=300)
@given(types, anything)
def test_no_value_of_any_dtype_stops_a_page_and_every_row_is_accounted_for(
    field: dict[str, Any], given_page: tuple[list[Any], pl.DataType]
) -> None:
    values, dtype = given_page
    result = mapping(field).apply(page(values, dtype))

    keys = result.frame["_key"].to_list() + result.failed["_key"].to_list()
    assert sorted(keys) == sorted(map(str, range(len(values))))
    for position, value in enumerate(values):
        if value is None:
            assert str(position) in result.frame["_key"].to_list()
