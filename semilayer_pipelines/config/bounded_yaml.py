"""YAML of a bounded size: bytes, depth, and values once every alias is written out.

Without bounds a file of a few hundred bytes can ask for more than a machine has.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, StringMark
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

__all__ = ["DEEPEST", "LONGEST", "MOST_VALUES", "composed", "constructed"]

LONGEST = 500_000
"""Bytes, read in five seconds. Two hundred lenses of ten fields each are a fifth of it."""

DEEPEST = 50
"""Levels; a lens needs eight."""

MOST_VALUES = 200_000
"""Keys and values of a whole document, those behind an alias counted wherever it stands."""


class _BoundedComposer(Composer):
    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        try:
            if self._depth > DEEPEST:
                mark = self.parser.peek_event().start_mark
                raise _refused(
                    f"this is nested more than {DEEPEST} levels deep; a lens needs eight", mark
                )
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def composed(text: str) -> Node | None:
    """Return the nodes of a document, which know their lines; `None` for an empty one.

    Raises `YAMLError`, with a mark where one is known, for what is no YAML or beyond the bounds.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _BoundedComposer
    root: Node | None = yaml.compose(text)
    if root is not None:
        _count(root, {}, set())
    return root


def constructed(root: Node | None) -> Any:
    """Return the values of a document. Raises `YAMLError`, with a mark, for what is none."""
    if root is None:
        return None
    try:
        return YAML(typ="safe", pure=True).constructor.construct_document(root)
    except ValueError:
        raise _refused(*_misfit(YAML(typ="safe", pure=True), root)) from None


def _count(node: Node, counted: dict[int, int], above: set[int]) -> int:
    """Return how many values a node is with every alias written out."""
    at = id(node)
    if at in above:
        raise _refused("this refers to itself; an alias cannot stand inside its anchor", node)
    if at not in counted:
        above.add(at)
        counted[at] = 1 + sum(_count(child, counted, above) for child in _children(node))
        above.remove(at)
        if counted[at] > MOST_VALUES:
            raise _refused(
                f"this has more than {MOST_VALUES:,} values once its aliases are written out; "
                "use fewer of them",
                node,
            )
    return counted[at]


def _children(node: Node) -> list[Node]:
    match node:
        case MappingNode():
            return [child for pair in node.value for child in pair]
        case SequenceNode():
            return list(node.value)
        case _:
            return []


def _misfit(yaml: YAML, node: Node) -> tuple[str, Node]:
    """Return what is wrong with the first scalar that is no value, such as the date 2024-99-99."""
    for child in _children(node):
        if isinstance(child, ScalarNode):
            try:
                yaml.constructor.construct_object(child)
            except ValueError:
                what = child.tag.rpartition(":")[2] if child.tag else "value"
                return f"this is no valid {what}; a text needs quotation marks", child
        elif _children(child):
            problem = _misfit(yaml, child)
            if problem[1] is not node:
                return problem
    return "a value cannot be read", node


def _refused(problem: str, where: Node | StringMark) -> MarkedYAMLError:
    mark = where.start_mark if isinstance(where, Node) else where
    return MarkedYAMLError(problem=problem, problem_mark=mark)
