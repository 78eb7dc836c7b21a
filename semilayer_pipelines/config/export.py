"""Brings changes of lenses into the text of an `sl.config.yaml`, and changes nothing else in it.

Comments, order, spelling and every line that no change concerns stay as they are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from semilayer_pipelines.config.edits import ABSENT, FIELD_ORDER, Edit, value_at
from semilayer_pipelines.config.models import LensConfig
from semilayer_pipelines.config.three_way import merged

__all__ = ["with_edits", "with_lens", "with_source"]

_LENS_KEYS = [field.alias or name for name, field in LensConfig.model_fields.items()]
_UNFOLDED = 1 << 20
"""Columns after which a line is folded: never."""


def with_edits(text: str, lens: str, found: Sequence[Edit], now: Mapping[str, Any]) -> str:
    """Return the file's text with edits of a lens that it has. `now` is the whole lens as JSON."""
    fields = now["fields"].keys()

    def change(document: CommentedMap) -> None:
        node = document["lenses"][lens]
        for edit in found:
            if edit.path != FIELD_ORDER:
                _apply(node, edit, now)
        if any(edit.path[0] == "fields" for edit in found) and node["fields"].keys() == fields:
            for name in now["fields"]:
                node["fields"].move_to_end(name)

    return _changed(text, change)


def with_lens(text: str, lens: str, config: Mapping[str, Any]) -> str:
    """Return the file's text with a lens that it does not have."""
    return _changed(text, lambda document: _put(_under(document, "lenses"), lens, config))


def with_source(text: str, source: str, config: Mapping[str, Any]) -> str:
    """Return the file's text with a source that it does not have."""
    return _changed(text, lambda document: _put(_under(document, "sources"), source, config))


def _changed(text: str, change: Callable[[CommentedMap], None]) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _UNFOLDED
    document = yaml.load(text)
    before = _text_of(yaml, document)
    change(document)
    after = _text_of(yaml, document)
    # The library spells and spaces some lines in its own way; those stay as the author wrote them.
    kept = merged(before, theirs=after, ours=text)
    return kept if kept is not None and _same(kept, after) else after


def _same(one: str, other: str) -> bool:
    """Say whether two texts hold the same; a merge of lines may be no YAML at all."""
    plain = YAML(typ="safe", pure=True)
    try:
        return bool(plain.load(one) == plain.load(other))
    except YAMLError:
        return False


def _text_of(yaml: YAML, document: CommentedMap) -> str:
    written = io.StringIO()
    yaml.dump(document, written)
    return written.getvalue()


def _under(document: CommentedMap, key: str) -> CommentedMap:
    if not document.get(key):
        document[key] = CommentedMap()
    node = document[key]
    assert isinstance(node, CommentedMap)
    return node


def _apply(lens: CommentedMap, edit: Edit, now: Mapping[str, Any]) -> None:
    node, path = lens, edit.path
    for depth, key in enumerate(path[:-1], start=1):
        inner = node.get(key)
        if not isinstance(inner, CommentedMap):
            # Not there, or a short form such as `searchable: true`: the whole takes its place.
            _put(node, key, value_at(now, path[:depth]))
            return
        node = inner
    # A null says the same as no key, except for `undefinedAs`.
    if edit.after is ABSENT or (edit.after is None and path[-1] != "undefinedAs"):
        node.pop(path[-1], None)
    else:
        _put(node, path[-1], edit.after)


def _put(node: CommentedMap, key: str, value: Any) -> None:
    if isinstance(value, Mapping):
        flow = any(isinstance(v, CommentedMap) and v.fa.flow_style() for v in node.values())
        value = CommentedMap(value)
        if flow:
            value.fa.set_flow_style()
    if key in node or key not in _LENS_KEYS:
        node[key] = value
    else:
        node.insert(_place(node, key), key, value)


def _place(lens: CommentedMap, key: str) -> int:
    """Return where a key of a lens goes: in the usual order, and never under another's comment."""
    there = list(lens)
    after = set(_LENS_KEYS[_LENS_KEYS.index(key) + 1 :])
    place = next((at for at, name in enumerate(there) if name in after), len(there))
    for at in range(place, 0, -1):
        comments = lens.ca.items.get(there[at - 1])
        inner = isinstance(lens[there[at - 1]], Mapping | list)
        if not inner and not (comments and comments[2] and "\n" in comments[2].value.rstrip("\n")):
            return at
    return place
