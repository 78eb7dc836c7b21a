from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores import check_names
from semilayer_pipelines.stores.weaviate.names import (
    alias_name,
    check_lens_names,
    collection_name,
    exact_name,
    property_name,
)
from tests.weaviate_double.schema import class_with_defaults

FIELD_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,62}", fullmatch=True)


def test_names_look_like_what_they_name() -> None:
    assert collection_name("", "development", "items-1-g000001") == "Development_items_1_g000001"
    assert collection_name("Shop", "dev", "items-1-g000001") == "Shop_Dev_items_1_g000001"
    assert alias_name("", "development", "items") == "Development_items"
    assert property_name("title") == "title"


@pytest.mark.parametrize(
    "field", ["Title", "ID", "id", "vector", "a_searchable", "b_rangeable", "c_temp", "d_nullState"]
)
def test_a_field_that_weaviate_would_rename_or_refuse_gets_a_property_of_ours(field: str) -> None:
    assert property_name(field) == f"_field_{field}_"


@given(st.lists(FIELD_NAMES, min_size=1, max_size=6, unique_by=str.lower))
def test_every_field_has_a_property_that_the_server_takes_and_leaves_as_it_is(
    fields: list[str],
) -> None:
    names = [name for field in fields for name in (property_name(field), exact_name(field))]
    asked = [{"name": name, "dataType": ["text"]} for name in names]
    made = class_with_defaults({"class": "A", "properties": asked})
    assert [each["name"] for each in made["properties"]] == names


@given(
    st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True),
    st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,62}", fullmatch=True),
)
def test_every_index_has_a_collection_that_the_server_takes(env: str, lens: str) -> None:
    name = collection_name("", env, f"{lens}-1-g000001")
    assert re.fullmatch(r"[A-Z][_0-9A-Za-z]{0,254}", name)
    assert class_with_defaults({"class": name})["class"] == name


@pytest.mark.parametrize(("one", "other"), [("items", "Items"), ("my-docs", "my_docs")])
def test_lenses_that_weaviate_cannot_tell_apart_are_refused(one: str, other: str) -> None:
    env = "production"
    check_lens_names("", [(env, one), (env, "unlike")])
    with pytest.raises(ConfigError, match=f"{one}.*{other}.*rename one"):
        check_lens_names("", [(env, one), (env, "unlike"), (env, other)])


def test_lenses_of_two_environments_that_weaviate_cannot_tell_apart_are_refused() -> None:
    check_lens_names("", [("test", "items"), ("production", "items")])
    with pytest.raises(ConfigError, match="'items' of 'pre-view' and 'items' of 'preview'"):
        check_lens_names("", [("pre-view", "items"), ("preview", "items")])


def test_a_lens_that_is_named_like_an_index_is_refused() -> None:
    with pytest.raises(ConfigError, match="like an index"):
        check_lens_names("", [("test", "items_1_g000001")])
    with pytest.raises(ConfigError, match="named like an index"):
        check_lens_names("", [("test", "items-1-g000001-chunks")])


def test_a_store_that_tells_them_apart_takes_them() -> None:
    names = [("production", "items"), ("production", "Items")]
    check_names("lancedb", names)
    environ = {"WEAVIATE_URL": "http://localhost:8080"}
    with pytest.raises(ConfigError, match="apart"):
        check_names("weaviate", names, environ=environ)
