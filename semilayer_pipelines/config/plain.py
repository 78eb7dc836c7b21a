"""A document in what JSON has: texts as keys, and values that JSON can hold.

The registry keeps a lens as JSON and must keep the same. A key that is no text would come back as
another one: `null:` as a lens of the name `None`, `3.10:` as `3.1`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.tag import Tag

from semilayer_pipelines.config.lines import YamlPath

__all__ = ["Unfit", "made_plain", "plain"]

Unfit = list[tuple[YamlPath, str]]
"""Where something stands that JSON has not, and what to write in its place."""

_KEYS = {
    "bool": "a truth value",
    "int": "a number",
    "float": "a number",
    "null": "null, which is nothing",
    "timestamp": "a date",
    "seq": "a list",
    "map": "a mapping",
}
_VALUES = {
    "binary": "!!binary is none of JSON's values; write the text itself, in quotation marks",
    "set": "!!set is none of JSON's values, and has no order; write a list",
}
_NO_NUMBERS = {".nan", ".inf", "+.inf", "-.inf"}


def made_plain(root: Node | None) -> Unfit:
    """Return where a document holds what JSON has not.

    Such a key or value is a text from then on. So all else that is wrong can be told beside it, and
    under the name that the file shows.
    """
    found: Unfit = []
    if root is not None:
        _look(root, (), found)
    return found


def plain(value: Any) -> Any:
    """Return a value with lists and texts in place of tuples and dates."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case dt.date():
            return value.isoformat()
        case _:
            return value


def _look(node: Node, path: YamlPath, found: Unfit) -> Node:
    """Note what is unfit in a node; return the node that is to stand there."""
    kind = _kind(node)
    if kind in _VALUES:
        found.append((path, _VALUES[kind]))
        return _text(node, collection=f"!!{kind}")
    if kind == "float" and node.value.lower() in _NO_NUMBERS:
        found.append((path, f"{node.value} is none of JSON's numbers; write another value"))
        return _text(node)
    if isinstance(node, MappingNode):
        node.value = [
            ((name := _key(key, path, found)), _look(value, (*path, name.value), found))
            for key, value in node.value
        ]
    elif isinstance(node, SequenceNode):
        node.value = [_look(one, (*path, at), found) for at, one in enumerate(node.value)]
    return node


def _key(key: Node, path: YamlPath, found: Unfit) -> Node:
    kind = _kind(key)
    if kind in ("str", "merge"):
        return key
    written = _text(key)
    told = f"this key is {_KEYS.get(kind, 'no text')}, and a key is a text"
    cure = "put it into quotation marks, or take another name"
    found.append(((*path, written.value), f"{told}; {cure}"))
    return written


def _kind(node: Node) -> str:
    return str(node.tag or "").rpartition(":")[2]


def _text(node: Node, collection: str = "?") -> ScalarNode:
    """Return a text in the place of a node: what a scalar says, or a word for a collection."""
    text = node.value if isinstance(node, ScalarNode) else collection
    return ScalarNode(Tag(suffix="tag:yaml.org,2002:str"), text, node.start_mark, node.end_mark)
