"""Conditions of a search, asked of chunks and checked against their rows.

The object of a chunk lacks a text that is long. There the field is empty to the store, so empty
ones are asked for as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from semilayer_pipelines.stores.chunks.objects import SHORT, text_fields
from semilayer_pipelines.stores.protocol import IndexField, IndexSchema
from semilayer_pipelines.stores.where import Condition, Operator, Scalar

__all__ = ["asked_of_chunks", "checked_on_rows", "holding"]

_NOTHING = ""  # as a value of a condition, it asks for empty fields


def asked_of_chunks(where: Sequence[Condition], rows: IndexSchema) -> list[Condition]:
    """Return the conditions that no chunk of a matching row fails."""
    texts = {field.name: field for field in text_fields(rows)}
    asked = (_asked(texts[each.field], each) if each.field in texts else each for each in where)
    return [each for each in asked if each is not None]


def checked_on_rows(where: Sequence[Condition], rows: IndexSchema) -> list[Condition]:
    """Return the conditions that a chunk may meet though its row does not, or that none is asked.

    They are conditions on texts.
    """
    texts = {field.name for field in text_fields(rows)}
    return [each for each in where if each.field in texts]


def holding(rows: pl.DataFrame, where: Sequence[Condition], schema: IndexSchema) -> pl.DataFrame:
    """Return the rows for which conditions on texts hold, as `Operator` says."""
    fields = {field.name: field for field in schema.fields}
    return rows.filter(*(_holds(fields[each.field], each) for each in where)) if where else rows


def _asked(field: IndexField, condition: Condition) -> Condition | None:
    """Return what holds wherever a condition on a text does, also where that is empty to the store.

    `None` for what cannot be asked at all.
    """
    match condition.operator:
        case Operator.NE | Operator.NIN:
            named = tuple(value for value in _values(condition) if value != _NOTHING)
            return Condition(condition.field, Operator.NIN, named)
        case Operator.EMPTY:
            return condition if condition.value else None
        case Operator.EQ | Operator.IN:
            values = _values(condition)
            # A text that equals a short one is short. A long list may have a short element.
            if not field.array and all(len(str(value)) <= SHORT for value in values):
                return condition
            return Condition(condition.field, Operator.IN, (*values, _NOTHING))
        case _:
            return None


def _holds(field: IndexField, condition: Condition) -> pl.Expr:
    column = pl.col(field.name)
    empty = column.is_null() | ((column.list.len() == 0) if field.array else (column == ""))
    values = [str(value) for value in _values(condition)]
    match condition.operator:
        case Operator.EMPTY:
            return empty if condition.value else ~empty
        case Operator.EQ | Operator.IN:
            return _any_of(field, column, empty, values)
        case Operator.NE | Operator.NIN:
            return ~_any_of(field, column, empty, values)
        case Operator.GT:
            return ~empty & (column > values[0])
        case Operator.GTE:
            return ~empty & (column >= values[0])
        case Operator.LT:
            return ~empty & (column < values[0])
        case Operator.LTE:
            return ~empty & (column <= values[0])


def _any_of(field: IndexField, column: pl.Expr, empty: pl.Expr, values: Sequence[str]) -> pl.Expr:
    texts = pl.Series([value for value in values if value], dtype=pl.String)
    among = (
        column.list.eval(pl.element().is_in(texts.implode())).list.any()
        if field.array
        else column.is_in(texts.implode())
    )
    found = among.fill_null(False)
    return found | empty if "" in values else found


def _values(condition: Condition) -> tuple[Scalar, ...]:
    return condition.value if isinstance(condition.value, tuple) else (condition.value,)
