"""Conditions as Weaviate's filters.

`$ne` and `$nin` become `NotEqual`, which holds wherever `Equal` does not, so for nulls too. Whether
a field is empty is asked of the list that every object keeps of its empty ones. Some conditions are
decided here, because no value of the field's type could meet them, or every one does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from weaviate.classes.query import Filter

from semilayer_pipelines.stores.protocol import IndexField
from semilayer_pipelines.stores.weaviate.names import exact_name, property_name
from semilayer_pipelines.stores.weaviate.objects import scalar_text
from semilayer_pipelines.stores.weaviate.schema import EMPTY, SAFE, has_exact
from semilayer_pipelines.stores.where import Condition, Operator, Scalar
from semilayer_pipelines.stores.where_values import (
    INT64,
    fitting,
    known_field,
    refuse_unordered,
    whole,
)

__all__ = ["where_filter"]

Answer = Any
"""A filter of the client's, or `True` (holds for every object) or `False` (for none)."""


def where_filter(where: Sequence[Condition], fields: Iterable[IndexField]) -> Answer:
    """Return the filter that all of `where` holds; `True` or `False` when that is known already.

    Raises `ConfigError` for a field the index does not have and for a value or an operator that
    does not go with the field's type.
    """
    known = {field.name: field for field in fields}
    return _all(_condition(known_field(each.field, known), each) for each in where)


def _condition(field: IndexField, condition: Condition) -> Answer:
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    match condition.operator:
        case Operator.EQ | Operator.IN:
            return _equals_any(field, values)
        case Operator.NE | Operator.NIN:
            return _all(_differs(field, value) for value in values)
        case Operator.EMPTY:
            return _empty(field, bool(condition.value))
        case operator:
            refuse_unordered(field, operator)
            return _compared(field, operator, fitting(field, values[0]))


def _equals_any(field: IndexField, values: Sequence[Scalar]) -> Answer:
    """Return what holds when a field, or an element of it, is one of the values."""
    spots = [_spot(field, fitting(field, value)) for value in values]
    found: dict[str, list[Any]] = {}
    for name, what in spots:
        if name is not None:
            found.setdefault(name, []).append(what)
    answers: list[Answer] = [
        # Of a list, Equal would be refused for some types.
        Filter.by_property(name).equal(wanted[0])
        if len(wanted) == 1 and not field.array
        else Filter.by_property(name).contains_any(wanted)
        for name, wanted in found.items()
    ]
    if (None, "") in spots:
        answers.append(_empty(field, True))
    return _any(answers)


def _differs(field: IndexField, value: Scalar) -> Answer:
    name, what = _spot(field, fitting(field, value))
    if name is None:
        return _empty(field, False) if what == "" else True
    return Filter.by_property(name).not_equal(what)


def _spot(field: IndexField, value: Any) -> tuple[str | None, Any]:
    """Return the property in which a value is found, and as what.

    There is no property for the empty text, nor for a number that no integer equals.
    """
    if value == "":
        return None, ""
    if not has_exact(field):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return property_name(field.name), float(value) if number else value
    integer = whole(value)
    if integer is None:
        return None, None
    if abs(integer) < SAFE:
        return property_name(field.name), integer
    return exact_name(field.name), scalar_text(integer)


def _empty(field: IndexField, wanted: bool) -> Answer:
    marks = Filter.by_property(EMPTY)
    name = property_name(field.name)
    return marks.contains_any([name]) if wanted else marks.not_equal(name)


def _compared(field: IndexField, operator: Operator, value: Any) -> Answer:
    if isinstance(value, str):
        # The server sorts an empty text before all others; to us it is no text.
        return _ordered(_property(field), operator)(value) & _empty(field, False)
    if isinstance(value, datetime):
        return _ordered(_property(field), operator)(value)
    if not has_exact(field):
        return _ordered(_property(field), operator)(float(value))
    return _compared_whole(field, operator, value)


def _compared_whole(field: IndexField, operator: Operator, value: float) -> Answer:
    """Compare integers; what is cut off at ±2^53 is told apart by its digits."""
    upward = operator in (Operator.GT, Operator.GTE)
    # Of a fraction, the next integer on the far side is the first that holds.
    bound = math.floor(value) if operator in (Operator.GT, Operator.LTE) else math.ceil(value)
    if bound not in INT64:
        every = _property(field).greater_or_equal(-SAFE)
        return every if upward == (bound < 0) else False
    if abs(bound) < SAFE:
        return _ordered(_property(field), operator)(bound)
    digits, text = _exact(field), scalar_text(bound)
    if bound > 0:
        within = _ordered(digits, operator)(text)
        return within if upward else _property(field).less_than(SAFE) | within
    # Negative texts sort backwards, and before all others.
    within = _ordered(digits, _MIRRORED[operator])(text)
    if upward:
        return _property(field).greater_than(-SAFE) | within
    return within & digits.less_than("0")


_MIRRORED = {
    Operator.GT: Operator.LT,
    Operator.GTE: Operator.LTE,
    Operator.LT: Operator.GT,
    Operator.LTE: Operator.GTE,
}


def _ordered(where: Any, operator: Operator) -> Callable[[Any], Any]:
    verbs: dict[Operator, Callable[[Any], Any]] = {
        Operator.GT: where.greater_than,
        Operator.GTE: where.greater_or_equal,
        Operator.LT: where.less_than,
        Operator.LTE: where.less_or_equal,
    }
    return verbs[operator]


def _property(field: IndexField) -> Any:
    return Filter.by_property(property_name(field.name))


def _exact(field: IndexField) -> Any:
    return Filter.by_property(exact_name(field.name))


def _all(answers: Iterable[Answer]) -> Answer:
    kept = [answer for answer in answers if answer is not True]
    if any(answer is False for answer in kept):
        return False
    return Filter.all_of(kept) if kept else True


def _any(answers: Iterable[Answer]) -> Answer:
    kept = [answer for answer in answers if answer is not False]
    if any(answer is True for answer in kept):
        return True
    return Filter.any_of(kept) if kept else False
