"""Where in a YAML file every key stands.

Built from the composed nodes, beside the plain values that are validated: validation gives the
path of a mistake, this gives its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

__all__ = ["Lines", "YamlPath", "lines_of"]

YamlPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Lines:
    """Line numbers, from 1, by the path of keys and list positions."""

    by_path: dict[YamlPath, int]

    def located(self, location: Sequence[str | int]) -> tuple[YamlPath, int]:
        """Return the path as it is in the file, and the line of its deepest part that exists.

        A list position is left out where the file has the short form of a single item, and so is
        the name of a transform, which Pydantic puts after its position.
        """
        path: YamlPath = ()
        line = 1
        tag_next = False
        for part in location:
            if tag_next:
                tag_next = False
                continue
            if isinstance(part, int):
                tag_next = path[-1:] == ("transform",)
                if (*path, part) not in self.by_path:
                    continue
            path = (*path, part)
            line = self.by_path.get(path, line)
        return path, line


def lines_of(root: Node | None) -> Lines:
    """Collect the lines of a composed document."""
    by_path: dict[YamlPath, int] = {}
    if root is not None:
        _collect(root, (), by_path)
    return Lines(by_path)


def _collect(node: Node, path: YamlPath, by_path: dict[YamlPath, int]) -> None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            by_path[here] = key.start_mark.line + 1
            _collect(value, here, by_path)
    elif isinstance(node, SequenceNode):
        for position, value in enumerate(node.value):
            here = (*path, position)
            by_path[here] = value.start_mark.line + 1
            _collect(value, here, by_path)
