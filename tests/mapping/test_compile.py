"""Compiling a lens tells every mistake before a row is read, and names what the mapping means."""

from __future__ import annotations

from typing import Any

import pytest

from semilayer_pipelines.errors import ConfigError, SchemaMismatch
from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.stores.protocol import IndexField
from tests.mapping.making import lens, table

COLUMNS = table(id="integer", title="text", body="text", price="number")
BASE: dict[str, dict[str, Any]] = {
    "title": {"type": "text", "searchable": True},
    "body": {"type": "text", "searchable": True},
    "price": {"type": "number"},
}


def fingerprint_of(key: tuple[str, ...] = ("id",), **changes: Any) -> str:
    config = lens(**{**BASE, **changes})
    return compile_mapping(config, COLUMNS, key=key, model_fingerprint="m").fingerprint


def test_a_missing_column_names_field_column_nearest_and_what_exists() -> None:
    with pytest.raises(SchemaMismatch) as caught:
        compile_mapping(
            lens(name={"type": "text", "from": "titel"}, price={"type": "number"}),
            COLUMNS,
            key=("idd",),
            model_fingerprint="m",
        )

    assert caught.value.message == (
        "table 'articles': key column 'idd' does not exist (did you mean 'id'?); "
        "field 'name': column 'titel' does not exist (did you mean 'title'?)."
    )
    assert "id, title, body, price" in caught.value.cure
    assert "undefinedAs" in caught.value.cure


def test_one_missing_part_of_a_merge_is_a_mistake_too() -> None:
    field = {"type": "text", "from": ["title", "sub"], "merge": "coalesce"}

    with pytest.raises(SchemaMismatch, match="column 'sub' does not exist"):
        compile_mapping(lens(v=field), COLUMNS, key=("id",), model_fingerprint="m")


def test_a_lens_without_a_key_says_how_to_name_one() -> None:
    with pytest.raises(SchemaMismatch, match="primaryKey"):
        compile_mapping(lens(**BASE), COLUMNS, key=(), model_fingerprint="m")


def test_a_pattern_that_the_engine_cannot_run_is_refused_with_its_reason() -> None:
    step = {"type": "replace", "pattern": "a(?=b)", "replacement": ""}
    field = {"type": "text", "transform": step, "from": "title"}

    with pytest.raises(ConfigError, match="look-ahead") as caught:
        compile_mapping(lens(v=field), COLUMNS, key=("id",), model_fingerprint="m")

    assert "fields.v.transform" in caught.value.message


def test_only_the_columns_that_are_needed_are_read_key_first_and_once() -> None:
    config = lens(
        name={"type": "text", "from": ["title", "id"], "merge": "concat", "separator": " "},
        price={"type": "number"},
        gone={"type": "text", "undefinedAs": ""},
    )

    compiled = compile_mapping(config, COLUMNS, key=("id",), model_fingerprint="m")

    assert compiled.columns == ("id", "title", "price")


def test_the_index_is_told_type_array_and_integer_of_each_field() -> None:
    config = lens(
        id={"type": "number"},
        price={"type": "number"},
        body={"type": "json", "array": True},
        title={"type": "text", "searchable": True},
    )

    fields = compile_mapping(config, COLUMNS, key=("id",), model_fingerprint="m").fields

    assert [field.name for field in fields] == ["id", "price", "body", "title"]
    assert fields[0] == IndexField("id", config.fields["id"].type, integer=True)
    assert fields[1].integer is False
    assert fields[2].array is True


@pytest.mark.parametrize(
    "changes",
    [
        {"title": {"type": "text", "searchable": {"weight": 2}}},
        {"title": {"type": "text"}},
        {"price": {"type": "text"}},
        {"price": {"type": "number", "nullAs": 0}},
        {"price": {"type": "number", "transform": "round"}},
        {"price": {"type": "number", "from": "id"}},
        {"more": {"type": "text", "from": "body"}},
        {"key": ("id", "title")},
    ],
)
def test_the_fingerprint_moves_with_what_decides_the_rows(changes: dict[str, Any]) -> None:
    assert fingerprint_of(**changes) != fingerprint_of()


def test_the_fingerprint_stands_still_for_everything_else() -> None:
    def compiled(config: Any, model: str = "m") -> str:
        return compile_mapping(config, COLUMNS, key=("id",), model_fingerprint=model).fingerprint

    config = lens(**BASE)
    retimed = config.model_copy(update={"sync_interval": "5m", "shards": 8, "guard": 0.9})
    spelled = lens(**{**BASE, "price": {"type": "number", "array": False, "transform": []}})
    moved = lens(price=BASE["price"], title=BASE["title"], body=BASE["body"])

    assert {compiled(c) for c in (config, retimed, spelled, moved)} == {compiled(config, "other")}


def test_the_order_of_the_searchable_fields_is_part_of_the_meaning() -> None:
    swapped = lens(body=BASE["body"], title=BASE["title"], price=BASE["price"])
    compiled = compile_mapping(swapped, COLUMNS, key=("id",), model_fingerprint="m")

    assert compiled.fingerprint != fingerprint_of()
