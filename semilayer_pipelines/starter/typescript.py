"""The value of a configuration that is written in TypeScript or JavaScript, read and never run.

The parser is tree-sitter's. Literals, `const` names, spreads and `process.env` have a value;
whatever would have to run has none, and is told with its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from semilayer_pipelines.errors import ConfigError

__all__ = ["Program", "Unknown", "read_typescript"]

MAX_SOURCE_BYTES = 1_000_000
"""Bytes of a configuration in another product's form; a longer file is none."""

_MAX_DEPTH = 60
_WRAPPERS = frozenset(
    {
        "as_expression",
        "satisfies_expression",
        "non_null_expression",
        "parenthesized_expression",
        "type_assertion",
    }
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_PLAIN = {"true": True, "false": False, "null": None, "undefined": None}


@dataclass(frozen=True, repr=False)
class Unknown:
    """A value that only running the program would give: its line, and the code in short."""

    line: int
    code: str

    def __repr__(self) -> str:
        return f"`{self.code}`, which would have to run"


@dataclass
class Program:
    """A parsed file: the value that it exports, and on which line each key stands.

    `process.env.NAME` is the text `${NAME}`, with `?? "x"` it is `${NAME:-x}`.
    """

    value: Any = None
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)


def read_typescript(text: str, name: str) -> Program:
    """Return what a file exports as its default.

    Raises `ConfigError` for a file that is no TypeScript, exports nothing, or is too long.
    """
    import tree_sitter_typescript
    from tree_sitter import Language, Parser

    source = text.encode()
    if len(source) > MAX_SOURCE_BYTES:
        raise ConfigError(f"{name} is too long for a configuration.")
    root = Parser(Language(tree_sitter_typescript.language_typescript())).parse(source).root_node
    if root.has_error:
        raise ConfigError(
            f"{name}, line {_first_error(root)}: this is no TypeScript that can be read.",
            cure="Run it through your compiler first; it says what is wrong.",
        )
    reader = _Reader(_constants(root))
    exported = _exported(root)
    if exported is None:
        raise ConfigError(
            f"{name} exports no configuration.",
            cure="It should end with `export default defineConfig({…})`.",
        )
    return Program(reader.value(exported, ()), reader.lines)


class _Reader:
    """Reads values; remembers the line of each key by its path."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self.lines: dict[tuple[str, ...], int] = {}
        self._constants = constants
        self._open: set[str] = set()
        self._depth = 0

    def value(self, node: Any, path: tuple[str, ...]) -> Any:
        """Return the value of an expression, `Unknown` where there is none without running it."""
        self._depth += 1
        try:
            return _unknown(node) if self._depth > _MAX_DEPTH else self._value(node, path)
        finally:
            self._depth -= 1

    def _value(self, node: Any, path: tuple[str, ...]) -> Any:
        kind, text = node.type, _text(node)
        if kind in _WRAPPERS:
            # `<Config>{…}` has its type first.
            inner = _children(node)
            return self.value(inner[-1] if kind == "type_assertion" else inner[0], path)
        if kind in _PLAIN:
            return _PLAIN[kind]
        match kind:
            case "object":
                return self._object(node, path)
            case "array":
                return [self.value(one, path) for one in _children(node)]
            case "string" | "template_string":
                return self._joined([self._part(one, path) for one in node.children], node)
            case "number":
                return _number(text)
            case "unary_expression" if text.startswith("-"):
                number = self.value(node.child_by_field_name("argument"), path)
                return -number if isinstance(number, int | float) else _unknown(node)
            case "binary_expression":
                return self._binary(node, path)
            case "member_expression" | "subscript_expression":
                name = _environment(text)
                return f"${{{name}}}" if name else _unknown(node)
            case "identifier":
                return self._named(node, path)
            case "call_expression":
                given = _children(node.child_by_field_name("arguments"))
                one = given[0] if len(given) == 1 else None
                # `defineConfig({…})` and its like give back what they are given.
                return self.value(one, path) if one is not None and not path else _unknown(node)
            case _:
                return _unknown(node)

    def _named(self, node: Any, path: tuple[str, ...]) -> Any:
        """Return the value of a constant; one that names itself has none."""
        name = _text(node)
        if name not in self._constants or name in self._open:
            return _unknown(node)
        self._open.add(name)
        try:
            return self.value(self._constants[name], path)
        finally:
            self._open.remove(name)

    def _object(self, node: Any, path: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in _children(node):
            match one.type:
                case "pair":
                    key = self._key(one.child_by_field_name("key"))
                    self.lines[(*path, key)] = _line(one)
                    found[key] = self.value(one.child_by_field_name("value"), (*path, key))
                case "spread_element":
                    spread = self.value(_children(one)[0], path)
                    if isinstance(spread, dict):
                        found |= spread
                    else:
                        found[_text(one)[:60]] = _unknown(one)
                case "shorthand_property_identifier":
                    self.lines[(*path, _text(one))] = _line(one)
                    found[_text(one)] = self._named(one, (*path, _text(one)))
                case _:
                    name = one.child_by_field_name("name")
                    found[_text(name) if name is not None else _text(one)[:60]] = _unknown(one)
        return found

    def _key(self, node: Any) -> str:
        if node.type in {"string", "number"}:
            return str(self.value(node, ()))
        if node.type == "computed_property_name":
            computed = self.value(_children(node)[0], ())
            return computed if isinstance(computed, str) else _text(node)
        return _text(node)

    def _part(self, node: Any, path: tuple[str, ...]) -> Any:
        match node.type:
            case "string_fragment":
                return _text(node)
            case "escape_sequence":
                return _escaped(_text(node)[1:])
            case "template_substitution":
                return self.value(_children(node)[0], path)
            case _:
                return ""  # the quotes

    def _joined(self, parts: list[Any], node: Any) -> Any:
        if any(not isinstance(part, str | int | float) for part in parts):
            return _unknown(node)
        # An emoji may be written as two escapes, each of which is no character by itself.
        whole = "".join(map(str, parts)).encode("utf-16-le", "surrogatepass")
        try:
            return whole.decode("utf-16-le")
        except UnicodeDecodeError:
            return _unknown(node)

    def _binary(self, node: Any, path: tuple[str, ...]) -> Any:
        left, right = (
            self.value(node.child_by_field_name(side), path) for side in ("left", "right")
        )
        match _text(node.child_by_field_name("operator")):
            case "+":
                return self._joined([left, right], node)
            case "??" | "||" if isinstance(left, str) and isinstance(right, str):
                variable = re.fullmatch(r"\$\{(\w+)\}", left)
                return f"${{{variable[1]}:-{right}}}" if variable else left
            case _:
                return _unknown(node)


def _constants(root: Any) -> dict[str, Any]:
    """Return the expressions of the file's `const` names."""
    found = {}
    for statement in root.named_children:
        declared = statement
        if statement.type == "export_statement":
            declared = statement.child_by_field_name("declaration")
        if declared is None or declared.type != "lexical_declaration":
            continue
        if not _text(declared).startswith("const"):
            continue
        for one in declared.named_children:
            name, value = one.child_by_field_name("name"), one.child_by_field_name("value")
            if name is not None and value is not None and name.type == "identifier":
                found[_text(name)] = value
    return found


def _exported(root: Any) -> Any:
    for statement in root.named_children:
        if statement.type == "export_statement":
            value = _default(statement)
            if value is not None:
                return value
        if statement.type == "expression_statement":
            given = _children(statement)[0]
            target = given.child_by_field_name("left")
            if given.type == "assignment_expression" and _text(target) == "module.exports":
                return given.child_by_field_name("right")
    return None


def _default(statement: Any) -> Any:
    """Return what `export default X`, `export = X` or `export { X as default }` exports."""
    value = statement.child_by_field_name("value")
    if value is not None:
        return value
    inner = _children(statement)
    if any(one.type == "=" for one in statement.children):
        return inner[0]
    specifiers = _children(inner[0]) if inner and inner[0].type == "export_clause" else []
    for one in specifiers:
        alias = one.child_by_field_name("alias")
        if alias is not None and _text(alias) == "default":
            return one.child_by_field_name("name")
    return None


def _children(node: Any) -> list[Any]:
    return [one for one in node.named_children if one.type != "comment"]


def _first_error(node: Any) -> int:
    while True:
        broken = [one for one in node.children if one.has_error or one.is_missing]
        if not broken or node.type == "ERROR":
            return _line(node)
        node = broken[0]


def _environment(code: str) -> str | None:
    found = re.fullmatch(r"process\.env(?:\.(\w+)|\[\s*[\"'](\w+)[\"']\s*\])", code)
    return found and (found[1] or found[2])


def _number(text: str) -> int | float:
    digits = text.replace("_", "").removesuffix("n")
    try:
        return int(digits, 0)
    except ValueError:
        return float(digits)


def _escaped(code: str) -> str:
    if code[0] in "xu":
        return chr(int(code[1:].strip("{}"), 16))
    return "" if code[0] in "\r\n" else _ESCAPES.get(code, code)


def _unknown(node: Any) -> Unknown:
    return Unknown(_line(node), " ".join(_text(node).split())[:60])


def _line(node: Any) -> int:
    return int(node.start_point[0]) + 1


def _text(node: Any) -> str:
    return str(node.text.decode())
