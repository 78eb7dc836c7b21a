"""Whatever was changed of a lens, its file says the same afterwards, and keeps every comment."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from semilayer_pipelines.config.edits import edits
from semilayer_pipelines.config.export import with_edits
from semilayer_pipelines.config.models import LensConfig, ProjectConfig
from semilayer_pipelines.config.three_way import merged
from semilayer_pipelines.registry.stored_config import canonical_hash, to_json

BLOCK = """\
stack: shop
sources: {main: {bridge: sql, connection: "sqlite:///x.db"}}
lenses:
  # the first
  items:
    # where from
    source: main
    table: items          # spaced   out

    syncInterval: 5m  # often
    # what of it
    fields:
      # most telling
      name: { type: text, searchable: true }  # short
      body:
          type: text
          searchable: { weight: 2 }
          transform:
          - trim
          - {type: truncate, length: 9}
      code: {type: enum,
             values: ["a", 'b']}
  # the last
  last: {source: main, table: t, fields: {a: {type: text, searchable: true}}}
# the end
"""
FLOW = """\
{stack: shop, sources: {main: {bridge: sql, connection: "sqlite:///x.db"}},
 lenses: {items: {source: main, table: items, guard: 30%, fields: {
   name: {type: text, searchable: true}, code: {type: enum, values: [a, b]}}}}}
"""
JSON = """\
{"stack": "shop",
 "sources": {"main": {"bridge": "sql", "connection": "sqlite:///x.db"}},
 "lenses": {"items": {
  "source": "main",
  "table": "items",
  "fields": {
   "name": {"type": "text", "searchable": true},
   "body": {"type": "text"}
  }
 }}}
"""

_SEARCHABLE = st.one_of(
    st.just(True), st.builds(lambda w: {"weight": w}, st.integers(min_value=1, max_value=9))
)
_FIELD = st.one_of(
    st.just({"type": "text"}),
    st.just({"type": "number", "nullAs": 0}),
    st.just({"type": "text", "from": ["a", "b"], "merge": "concat", "separator": " # "}),
    st.just({"type": "text", "from": "x: y", "undefinedAs": None}),
    st.just({"type": "text", "transform": ["trim", {"type": "truncate", "length": 3}]}),
    st.builds(lambda s: {"type": "text", "searchable": s}, _SEARCHABLE),
)
_FIELDS = st.dictionaries(
    st.sampled_from(["body", "code", "more", "extra"]), _FIELD, max_size=4
).flatmap(
    lambda rest: st.permutations(
        [
            ("name", {"type": "text", "searchable": {"weight": 4}}),
            *(rest | {"z": {"type": "date"}}).items(),
        ]
    )
)
_INTERVAL = st.sampled_from([None, "1m", "24h"])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "syncInterval": _INTERVAL,
        "smartSyncInterval": _INTERVAL,
        "guard": st.sampled_from([0, 0.3, "45%", 1]),
        "fields": _FIELDS.map(dict),
    },
)


def lens_of(text: str) -> LensConfig:
    config = ProjectConfig.model_validate(YAML(typ="safe", pure=True).load(text))
    return config.lenses["items"]


@pytest.mark.parametrize("text", [BLOCK, FLOW, JSON], ids=["block", "flow", "json"])
@settings(max_examples=25, deadline=None)
@given(changes=CHANGES)
def test_the_file_says_what_the_registry_says(text: str, changes: dict[str, Any]) -> None:
    pushed = lens_of(text)
    now = LensConfig.model_validate(to_json(pushed) | changes)
    found = edits(to_json(pushed), to_json(now))

    after = with_edits(text, "items", found, to_json(now)) if found else text

    assert canonical_hash(lens_of(after)) == canonical_hash(now)
    if not {edit.path[0] for edit in found} & {"fields", "syncInterval"}:
        # A comment goes only with the key that it is about.
        assert re.findall("#.*", after) == re.findall("#.*", text)
    assert after.partition("  # the last")[2] == text.partition("  # the last")[2]


def test_a_change_is_carried_over_to_lines_that_are_spelled_otherwise() -> None:
    before = "a: 1\nb: {c: 2}\nd: 3\n"
    ours = "a:   1\nb: {c:\n    2}\nd:  3\n"

    assert merged(before, theirs=before.replace("d", "n: 0\nd"), ours=ours) == (
        "a:   1\nb: {c:\n    2}\nn: 0\nd:  3\n"
    )


def test_a_change_without_a_place_is_not_guessed() -> None:
    before = "a: 1\nb: 2\n"

    assert merged(before, theirs="a: 1\nn: 0\nb: 2\n", ours="{a: 1, b: 2}\n") is None
