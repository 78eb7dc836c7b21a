"""The words of a row: those of its keyword fields, as often as the fields weigh."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest

from semilayer_pipelines.mapping.compile import compile_mapping
from semilayer_pipelines.mapping.mapped import LensMapping
from semilayer_pipelines.stores.protocol import ROW_HASH, TEXT_HASH, WORDS
from tests.mapping.making import MODEL, lens, table


def mapping_of(**fields: dict[str, Any]) -> LensMapping:
    return compile_mapping(
        lens(**fields),
        table(id="integer", a="text", b="text"),
        key=("id",),
        model_fingerprint=MODEL,
    )


def words(mapping: LensMapping, a: str | None, b: str | None = None) -> Counter[str]:
    rows = pl.DataFrame({"id": [1], "a": [a], "b": [b]}, schema_overrides={"b": pl.String})
    told = mapping.with_words(mapping.apply(rows).frame)[WORDS][0]
    return Counter((told or "").split(" ")) - Counter([""])


def test_keyword_fields_alone_have_words_and_a_weight_repeats_them() -> None:
    mapping = mapping_of(
        a={"type": "text", "searchable": {"weight": 3}, "keyword": True},
        b={"type": "text", "searchable": True},
    )
    assert words(mapping, "One two", "three") == {"one": 3, "two": 3}


def test_a_field_need_not_be_embedded_to_be_found_by_its_words() -> None:
    mapping = mapping_of(
        a={"type": "text", "keyword": "exact"}, b={"type": "enum", "values": ["x"]}
    )
    assert words(mapping, "ABC-1") == {"=abc=1": 1, "abc": 1, "1": 1, "abc-1": 1}


def test_only_an_exact_field_gives_names() -> None:
    for keyword, named in ((True, False), ("exact", True)):
        mapping = mapping_of(a={"type": "text", "keyword": keyword})
        assert ("=the=name" in words(mapping, "The name")) is named


def test_each_element_of_a_list_is_a_name_of_its_own() -> None:
    mapping = mapping_of(a={"type": "text", "array": True, "keyword": "exact"})
    assert words(mapping, '["A b", "c", null, ""]') == {"=a=b": 1, "a": 1, "b": 1, "=c": 1, "c": 1}
    assert words(mapping, "[]") == {}
    assert words(mapping, None) == {}


def test_rows_keep_their_own_words_whatever_stands_beside_them() -> None:
    mapping = mapping_of(
        a={"type": "text", "array": True, "keyword": True}, b={"type": "text", "keyword": True}
    )
    rows = pl.DataFrame(
        {"id": [1, 2, 3, 4], "a": ['["x"]', None, "[]", '["y", "z"]'], "b": ["1", None, "3", None]}
    )
    told = mapping.with_words(mapping.apply(rows).frame)[WORDS].to_list()
    assert told == ["x 1", None, "3", "y z"]


@pytest.mark.parametrize(
    ("one", "other"),
    [(False, True), (True, "exact"), (False, "exact")],
)
def test_another_keyword_changes_the_hash_of_the_row_and_not_that_of_its_text(
    one: object, other: object
) -> None:
    rows = pl.DataFrame({"id": [1], "a": ["text"], "b": [None]}, schema_overrides={"b": pl.String})
    frames = [
        mapping_of(a={"type": "text", "searchable": True, "keyword": keyword}).apply(rows).frame
        for keyword in (one, other)
    ]
    assert frames[0][ROW_HASH][0] != frames[1][ROW_HASH][0]
    assert frames[0][TEXT_HASH][0] == frames[1][TEXT_HASH][0]


def test_a_lens_without_keywords_has_no_words_and_the_hashes_it_always_had() -> None:
    mapping = mapping_of(a={"type": "text", "searchable": True})
    rows = pl.DataFrame({"id": [1], "a": ["text"], "b": [None]}, schema_overrides={"b": pl.String})
    frame = mapping.apply(rows).frame
    assert not mapping.has_keywords
    assert mapping.with_words(frame) is frame
    # As version 0.2.0 makes it: an index must not be written again for a setting that is not used.
    assert mapping.fingerprint == "f15b538f1f953a064c4da52beb0e2cf0"
