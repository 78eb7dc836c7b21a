"""What a lens joins is part of its rows' meaning; a lens that joins nothing means what it meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from semilayer_pipelines.bridges.protocol import Column, Table
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.mapping.compile import compile_mapping

POSTS = Table(
    "posts",
    tuple(Column(name, "text", True, "text") for name in ("id", "title", "a.b", "category.name")),
    ("id",),
)
TITLE = {"type": "text", "searchable": True}
CATEGORY = {"type": "text", "from": "category.name"}
JOIN = {"table": "categories", "on": {"category_id": "id", "lang": "lang"}}


def fingerprint(joins: dict[str, Any] | None = None, **fields: dict[str, Any]) -> str:
    told = {"source": "main", "table": "posts", "fields": {"title": TITLE, **fields}}
    config = LensConfig.model_validate(told if joins is None else told | {"joins": joins})
    return compile_mapping(config, POSTS, key=("id",), model_fingerprint="m").fingerprint


def test_a_lens_without_joins_has_the_fingerprint_that_it_had_before_there_were_any() -> None:
    odd = {"type": "date", "from": "a.b"}

    assert fingerprint(at=odd) == "4b2aaf94ff5ba6543492091f8d5edc86"
    assert fingerprint({}, at=odd) == fingerprint(at=odd)


def test_a_join_that_no_field_uses_and_what_it_tracks_change_no_row() -> None:
    assert fingerprint({"category": JOIN}) == fingerprint()
    tracked = JOIN | {"changeTrackingColumn": "moved"}
    turned = JOIN | {"on": {"lang": "lang", "category_id": "id"}}
    assert fingerprint({"category": tracked}, c=CATEGORY) == fingerprint(
        {"category": JOIN}, c=CATEGORY
    )
    assert fingerprint({"category": turned}, c=CATEGORY) == fingerprint(
        {"category": JOIN}, c=CATEGORY
    )


@pytest.mark.parametrize("changed", [{"table": "others"}, {"on": {"category_id": "code"}}])
def test_another_table_or_another_way_to_it_is_another_meaning(changed: dict[str, Any]) -> None:
    assert fingerprint({"category": JOIN | changed}, c=CATEGORY) != fingerprint(
        {"category": JOIN}, c=CATEGORY
    )


def test_a_joined_column_is_read_by_its_name_in_the_lens() -> None:
    told = {"source": "main", "table": "posts", "joins": {"category": JOIN}}
    config = LensConfig.model_validate(told | {"fields": {"title": TITLE, "c": CATEGORY}})

    compiled = compile_mapping(
        config, replace(POSTS, key=("id",)), key=("id",), model_fingerprint="m"
    )

    assert compiled.columns == ("id", "title", "category.name")
