"""Filters, as the inverted index of the real server answers them.

A text is one token, its ends trimmed; an empty one is a token too, and before all others.
`NotEqual` is whatever `Equal` is not, objects without the property included. Texts compare by their
bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from weaviate.proto.v1 import base_pb2

from tests.weaviate_double.rules import Refused, moment

Properties = dict[str, Any]
_Op = base_pb2.Filters
_OF_TYPE = {
    "text": ("value_text", "value_text_array"),
    "date": ("value_text", "value_text_array"),
    "int": ("value_int", "value_int_array"),
    "number": ("value_number", "value_number_array"),
    "boolean": ("value_boolean", "value_boolean_array"),
}


def wanted_ids(asked: Any) -> set[bytes] | None:
    """Return the ids that a filter by id alone asks for, `None` for any other filter."""
    if asked.target.property != "_id":
        return None
    texts = list(asked.value_text_array.values) or [asked.value_text]
    return {uuid.UUID(text).bytes for text in texts}


def matcher(asked: Any, class_: dict[str, Any]) -> Callable[[Properties], bool]:
    """Return what decides whether an object passes; raise `Refused` for what cannot be asked."""
    inner = [matcher(each, class_) for each in asked.filters]
    match asked.operator:
        case _Op.OPERATOR_AND:
            return lambda properties: all(each(properties) for each in inner)
        case _Op.OPERATOR_OR:
            return lambda properties: any(each(properties) for each in inner)
        case _Op.OPERATOR_NOT:
            return lambda properties: not inner[0](properties)
    known = {each["name"]: each for each in class_["properties"]}
    name = asked.target.property
    if name not in known:
        raise Refused(
            f"no such prop with name '{name}' found in class '{class_['class']}' in the schema. "
            "Check your schema files for which properties in this class are available"
        )
    if not (known[name]["indexFilterable"] or known[name]["indexSearchable"]):
        raise Refused(
            f"Filtering by property '{name}' requires inverted index. Is `indexFilterable` option "
            f"of property '{name}' enabled? Set it to `true` or leave empty"
        )
    kind = known[name]["dataType"][0].removesuffix("[]")
    one, many = _OF_TYPE[kind]
    field = asked.WhichOneof("test_value")
    if field not in (one, many):
        raise Refused(f"data type filter cannot use {field!r} on type {kind!r}")
    value = getattr(asked, field)
    if field == many:
        wanted = [_token(kind, each) for each in value.values]
        return _contains(asked.operator, name, kind, wanted)
    return _compares(asked.operator, name, kind, _token(kind, value))


def _contains(
    operator: int, name: str, kind: str, wanted: list[Any]
) -> Callable[[Properties], bool]:
    quantifier: dict[int, Callable[[set[Any]], bool]] = {
        _Op.OPERATOR_CONTAINS_ANY: lambda there: bool(there & set(wanted)),
        _Op.OPERATOR_CONTAINS_ALL: lambda there: set(wanted) <= there,
        _Op.OPERATOR_CONTAINS_NONE: lambda there: not there & set(wanted),
    }
    if operator not in quantifier:
        raise Refused("this operator takes one value")
    return lambda properties: quantifier[operator](set(_tokens(kind, properties.get(name))))


def _compares(operator: int, name: str, kind: str, value: Any) -> Callable[[Properties], bool]:
    tests: dict[int, Callable[[Any], bool]] = {
        _Op.OPERATOR_EQUAL: lambda token: token == value,
        _Op.OPERATOR_NOT_EQUAL: lambda token: token == value,
        _Op.OPERATOR_GREATER_THAN: lambda token: token > value,
        _Op.OPERATOR_GREATER_THAN_EQUAL: lambda token: token >= value,
        _Op.OPERATOR_LESS_THAN: lambda token: token < value,
        _Op.OPERATOR_LESS_THAN_EQUAL: lambda token: token <= value,
    }
    if operator not in tests:
        raise Refused("this operator takes a list")
    negated = operator == _Op.OPERATOR_NOT_EQUAL
    test = tests[operator]
    return lambda properties: (
        any(test(token) for token in _tokens(kind, properties.get(name))) != negated
    )


def _tokens(kind: str, value: Any) -> list[Any]:
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    return [_token(kind, each) for each in values]


def _token(kind: str, value: Any) -> Any:
    match kind:
        case "text":
            return value.strip().encode()
        case "date":
            return moment(value)
        case _:
            return value
