"""A mapped page: its columns, the text to embed, what is set aside, and what a page is not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semilayer_pipelines.bridges.protocol import SHARD_COLUMN
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.mapped import LensMapping
from tests.mapping.making import everything, lens, mapped, mapping, page, reasons, table


def texts(field: dict[str, Any], values: list[Any], kind: Any = "text") -> list[str]:
    return everything(mapped({**field, "searchable": True}, values, kind))["_text"].to_list()


def test_the_frame_has_key_text_hashes_shard_and_the_fields_in_the_order_of_the_file() -> None:
    config = lens(
        z={"type": "text", "searchable": True}, a={"type": "number"}, m={"type": "boolean"}
    )
    compiled = compile_mapping(
        config,
        table(id="integer", a="integer", m="boolean", z="text"),
        key=("id",),
        model_fingerprint="m",
    )
    rows = pl.DataFrame({"id": [7], "z": ["hello"], "a": [1], "m": [True], SHARD_COLUMN: [3]})

    frame = compiled.apply(rows).frame

    assert frame.schema == {
        "_key": pl.String,
        "_text": pl.String,
        "_row_hash": pl.Binary,
        "_text_hash": pl.Binary,
        "_shard": pl.Int32,
        "z": pl.String,
        "a": pl.Int64,
        "m": pl.Boolean,
    }
    assert frame.drop("_row_hash", "_text_hash").row(0) == ("7", "hello", 3, "hello", 1, True)
    assert {len(frame["_row_hash"][0]), len(frame["_text_hash"][0])} == {16}
    assert "_shard" not in compiled.apply(rows.drop(SHARD_COLUMN)).frame.columns


def test_the_text_has_a_line_for_each_searchable_field_repeated_by_weight() -> None:
    config = lens(
        body={"type": "text", "searchable": True},
        note={"type": "text"},
        title={"type": "text", "searchable": {"weight": 3}},
    )
    compiled = compile_mapping(
        config,
        table(id="integer", title="text", body="text", note="text"),
        key=("id",),
        model_fingerprint="m",
    )
    rows = pl.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "title": ["T", None, "T", None],
            "body": ["B", "B", "", None],
            "note": ["N"] * 4,
        }
    )

    assert everything(compiled.apply(rows))["_text"].to_list() == ["B\nT\nT\nT", "B", "T\nT\nT", ""]


def test_the_text_of_values_that_are_no_text_reads_plainly() -> None:
    number = {"type": "number"}
    assert texts(number, [5, None], "integer") == ["5", ""]
    assert texts(number, [5.0, 19.99, 1e20], "number") == ["5", "19.99", "1e+20"]
    assert texts({"type": "boolean"}, [True, False], "boolean") == ["true", "false"]
    assert texts({"type": "text", "array": True}, [["a", "b"], []], "other") == ["a, b", ""]
    moments = [dt.datetime(2024, 5, 1, 10, 20), dt.datetime(2024, 5, 1, 10, 20, 30, 500000)]
    assert texts({"type": "date"}, moments, "datetime") == [
        "2024-05-01T10:20:00Z",
        "2024-05-01T10:20:30.500Z",
    ]


def test_the_rows_that_cannot_be_mapped_are_set_aside_with_a_reason_and_the_rest_go_on() -> None:
    result = mapped({"type": "number"}, ["1", "two", None, "four"])

    assert result.frame["_key"].to_list() == ["0", "2"]
    assert result.failed.schema == {"_key": pl.String, "field": pl.String, "reason": pl.String}
    assert result.failed.rows() == [
        ("1", "v", "field v: 'two' is not a number"),
        ("3", "v", "field v: 'four' is not a number"),
    ]


def test_a_row_with_several_faults_is_set_aside_once() -> None:
    compiled = compile_mapping(
        lens(a={"type": "number"}, b={"type": "date"}),
        table(id="integer", a="text", b="text"),
        key=("id",),
        model_fingerprint="m",
    )

    result = compiled.apply(pl.DataFrame({"id": [1], "a": ["x"], "b": ["y"]}))

    assert result.frame.is_empty()
    assert reasons(result) == ["field a: 'x' is not a number"]


def test_a_null_key_is_named_null_because_nothing_else_names_the_row() -> None:
    rows = pl.DataFrame({"id": [1, None], "v": ["a", "b"]})

    result = mapping({"type": "text"}).apply(rows)

    assert result.frame["_key"].to_list() == ["1"]
    assert result.failed.rows() == [("NULL", "id", "the key is null")]


def composite() -> LensMapping:
    return compile_mapping(
        lens(v={"type": "text"}, any={"type": "text", "from": "v", "searchable": True}),
        table(("tenant", "lang"), tenant="integer", lang="text", v="text"),
        key=("tenant", "lang"),
        model_fingerprint="m",
    )


def test_composite_keys_are_json_and_null_when_any_part_is() -> None:
    rows = pl.DataFrame({"tenant": [7, 7, None], "lang": ["en", 'q"', "de"], "v": ["a"] * 3})

    result = composite().apply(rows)

    assert result.frame["_key"].to_list() == ['["7","en"]', '["7","q\\""]']
    assert result.failed.rows() == [("NULL", "tenant, lang", "the key is null")]


def test_identical_rows_of_one_key_become_one_without_a_word() -> None:
    rows = pl.DataFrame({"id": [1, 2, 1], "v": ["a", "b", "a"]})

    result = mapping({"type": "text"}).apply(rows)

    assert sorted(result.frame["_key"].to_list()) == ["1", "2"]
    assert result.failed.is_empty()


def test_different_rows_of_one_key_keep_the_last_and_are_reported() -> None:
    rows = pl.DataFrame({"id": [1, 2, 1, 1], "v": ["old", "b", "new", "new"]})

    result = mapping({"type": "text"}).apply(rows)

    assert dict(result.frame.select("_key", "v").iter_rows()) == {"2": "b", "1": "new"}
    assert result.failed["_key"].to_list() == ["1"]
    assert reasons(result)[0].startswith("the key is not unique")


def test_equal_values_hash_alike_however_the_database_types_them() -> None:
    number = {"type": "number", "transform": "toNumber"}
    hashes = [
        mapped(number, values, "number").frame["_row_hash"].to_list()
        for values in ([5], [5.0], ["5"], ["5.00"])
    ]

    assert all(found == hashes[0] for found in hashes)


def test_the_row_hash_moves_with_the_key_the_fields_and_the_configuration() -> None:
    one = mapped({"type": "text"}, ["a"]).frame.row(0, named=True)
    other_value = mapped({"type": "text"}, ["b"]).frame.row(0, named=True)
    other_config = mapped({"type": "text", "transform": "trim"}, ["a"]).frame.row(0, named=True)
    other_key = mapped({"type": "text"}, ["a", "a"]).frame.row(1, named=True)

    hashes = [row["_row_hash"] for row in (one, other_value, other_config, other_key)]
    assert len(set(hashes)) == 4
    assert one["_text_hash"] == other_value["_text_hash"]


def test_the_text_hash_moves_with_the_model_and_the_row_hash_does_not() -> None:
    first, second = (
        compile_mapping(
            lens(v={"type": "text", "searchable": True}),
            table(id="integer", v="text"),
            key=("id",),
            model_fingerprint=model,
        )
        .apply(page(["a"]))
        .frame.row(0, named=True)
        for model in ("m1", "m2")
    )

    assert first["_row_hash"] == second["_row_hash"]
    assert first["_text_hash"] != second["_text_hash"]


VALUES = st.lists(
    st.none() | st.sampled_from(["1", "2.5", "x", "", "2024-01-01", '["a"]', "|~"]),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize(
    "field",
    [
        {"type": "text", "transform": "trim"},
        {"type": "number"},
        {"type": "date"},
        {"type": "text", "array": True},
        {"type": "json"},
    ],
)
@settings(deadline=None, max_examples=60)
@given(values=VALUES, cut=st.integers(0, 12))
def test_where_a_page_ends_changes_nothing(
    field: dict[str, Any], values: list[Any], cut: int
) -> None:
    rows = page(values, pl.String())
    compiled = mapping(field)

    whole = compiled.apply(rows)
    halves = [compiled.apply(half) for half in (rows[:cut], rows[cut:])]

    assert whole.frame.equals(pl.concat(half.frame for half in halves))
    assert whole.failed.equals(pl.concat(half.failed for half in halves))


def test_a_mapping_used_for_pages_of_several_dtypes_treats_each_by_its_own() -> None:
    compiled = mapping({"type": "number"})

    pages = [compiled.apply(page(v)).frame["v"].to_list() for v in (["1"], [2], [3.5], [None])]

    assert pages == [[1.0], [2.0], [3.5], [None]]
