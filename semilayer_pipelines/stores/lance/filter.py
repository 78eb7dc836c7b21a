"""Conditions and keys as Lance's SQL.

Values come from callers and keys from tables: every text is a quoted literal, every column a quoted
identifier, and nothing else of either reaches the expression. `$ne` and `$nin` are the opposites
of `$eq` and `$in`, so that they hold for an empty field, where plain SQL would say neither. The
empty text is no value of its own but an empty field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.protocol import KEY, IndexField
from semilayer_pipelines.stores.where import Condition, Operator, Scalar
from semilayer_pipelines.stores.where_values import (
    fitting,
    known_field,
    refuse_unordered,
    whole,
)

__all__ = ["keys_sql", "where_sql"]

_SMALLEST = -(2**63)
_COMPARED = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}


def keys_sql(keys: Sequence[str], *, indexed: bool = True) -> str:
    """Return the condition that a row has one of these keys (at least one).

    Without `indexed` it is written so that Lance looks at the rows and not into the key index.
    """
    column = f"`{KEY}`" if indexed else f"concat(`{KEY}`, '')"
    return f"{column} IN ({', '.join(map(_quoted, keys))})"


def where_sql(where: Sequence[Condition], fields: Iterable[IndexField]) -> str | None:
    """Return the condition that all of `where` holds, or `None` when there is nothing to ask.

    Raises `ConfigError` for a field the index does not have and for a value or an operator that
    does not go with the field's type.
    """
    known = {field.name: field for field in fields}
    parts = [f"({_condition(known_field(each.field, known), each)})" for each in where]
    return " AND ".join(parts) or None


def _condition(field: IndexField, condition: Condition) -> str:
    column = f"`{field.name}`"
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    match condition.operator:
        case Operator.EQ | Operator.IN:
            return _any_of(field, column, values)
        case Operator.NE | Operator.NIN:
            return f"NOT coalesce({_any_of(field, column, values)}, false)"
        case Operator.EMPTY:
            return _empty(field, column, bool(condition.value))
        case Operator.GT | Operator.GTE | Operator.LT | Operator.LTE:
            return _compared(field, column, condition.operator, values[0])


def _any_of(field: IndexField, column: str, values: Sequence[Scalar]) -> str:
    literals = [text for value in values if value != "" for text in _literals(field, value)]
    parts = [_empty(field, column, True)] if "" in values and _literals(field, "") else []
    if literals:
        # One condition for all of them: Lance takes a row of ORs apart by recursion, and a process
        # whose stack is used up by that is gone.
        among = ", ".join(literals)
        parts.append(
            f"array_has_any({column}, [{among}])" if field.array else f"{column} IN ({among})"
        )
    return " OR ".join(parts) or "false"


def _literals(field: IndexField, value: Scalar) -> list[str]:
    """Return the literals that one value may be stored as: none, one, or zero with either sign."""
    literal = _literal(field, value)
    if literal is None:
        return []
    # Lance compares the numbers of a list bit by bit.
    zeros = ["0.0", "-0.0"]
    return zeros if field.array and literal in zeros else [literal]


def _empty(field: IndexField, column: str, wanted: bool) -> str:
    match field:
        case IndexField(array=True):
            empty = f"{column} IS NULL OR array_length({column}) = 0"
        case IndexField(type=FieldType.TEXT | FieldType.ENUM | FieldType.JSON):
            empty = f"{column} IS NULL OR {column} = ''"
        case _:
            empty = f"{column} IS NULL"
    return empty if wanted else f"NOT ({empty})"


def _compared(field: IndexField, column: str, operator: Operator, value: Scalar) -> str:
    refuse_unordered(field, operator)
    literal = _literal(field, value)
    if literal is None:
        # A fraction, or beyond 64 bits: compare as floats, which Lance will not do by itself.
        return f"CAST({column} AS double) {_COMPARED[operator]} {float(value)!r}"
    compared = f"{column} {_COMPARED[operator]} {literal}"
    return f"{compared} AND {column} <> ''" if field.type is FieldType.TEXT else compared


def _literal(field: IndexField, value: Scalar) -> str | None:
    """Return the SQL of a value of the field's type; `None` for a number no integer can equal."""
    match fitting(field, value):
        case bool() as yes:
            return "true" if yes else "false"
        case str() as text:
            return _quoted(text)
        case datetime() as moment:
            # In microseconds, as columns are: a plain TIMESTAMP has nanoseconds, and so only 1677
            # to 2262.
            return f"CAST('{moment.isoformat(timespec='microseconds')}' AS TIMESTAMP(6))"
        case number if not field.integer:
            return repr(float(number))
        case number:
            integer = whole(number)
            if integer == _SMALLEST:  # which Lance reads as a float
                return f"CAST('{integer}' AS BIGINT)"
            return None if integer is None else str(integer)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
