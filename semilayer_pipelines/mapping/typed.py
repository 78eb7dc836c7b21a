"""Expressions that know what they hold, and the plain text of a value.

Databases give the same value in several dtypes (an integer of MySQL is a text in a loose SQLite
column), and a page can hold nothing but nulls. Everything in this folder passes `Typed` around, so
that what is done to a value is decided by its dtype when the plan is built and never by looking at
rows. Nothing here may fail on a value: what does not convert becomes null.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import polars as pl

from semilayer_pipelines.bridges.protocol import ColumnKind

__all__ = [
    "MOMENT",
    "Family",
    "Typed",
    "family",
    "filled",
    "inner",
    "literal",
    "plain_text",
    "settled",
]

MOMENT = pl.Datetime("us", "UTC")
"""The one dtype of points in time."""

# Past this a float is not surely the integer it looks like, and its digits are no help to a reader.
_WHOLE_LIMIT = 1e15


class Family(Enum):
    """Dtypes that are handled alike."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    MOMENT = "moment"
    LIST = "list"


@dataclass(frozen=True)
class Typed:
    """An expression and the dtype it yields."""

    expr: pl.Expr
    dtype: pl.DataType

    @property
    def family(self) -> Family:
        """Family of the dtype."""
        return family(self.dtype)


def family(dtype: pl.DataType) -> Family:
    """Return the family of a settled dtype."""
    if dtype.is_integer():
        return Family.INTEGER
    if dtype.is_float():
        return Family.FLOAT
    match dtype:
        case pl.Boolean():
            return Family.BOOLEAN
        case pl.Decimal():
            return Family.DECIMAL
        case pl.Date():
            return Family.DATE
        case pl.Datetime():
            return Family.MOMENT
        case pl.List():
            return Family.LIST
        case _:
            return Family.TEXT


def settled(expr: pl.Expr, dtype: pl.DataType, kind: ColumnKind = "other") -> Typed:
    """Bring a source column to one of the families.

    A page of nothing but nulls has no dtype of its own: it gets the one of the column's `kind`.
    """
    match dtype:
        case pl.Null():
            wanted = _OF_KIND.get(kind, pl.String())
            return Typed(expr.cast(wanted), wanted)
        case pl.Datetime():
            # Naive times are taken as UTC: the cast attaches the zone without moving the clock.
            return Typed(expr.cast(MOMENT), MOMENT)
        case pl.Struct():
            return Typed(pl.when(expr.is_not_null()).then(expr.struct.json_encode()), pl.String())
        case pl.Array(inner=inner):
            return settled(expr.cast(pl.List(inner)), pl.List(inner))
        case pl.List(inner=inner):
            element = settled(pl.element(), instance(inner))
            return Typed(expr.list.eval(element.expr), pl.List(element.dtype))
        case pl.Duration():
            return Typed(expr.dt.to_string("iso"), pl.String())
        case pl.String() | pl.Boolean() | pl.Date() | pl.Decimal():
            return Typed(expr, dtype)
        case _ if dtype.is_numeric():
            return Typed(expr, dtype)
        case _:
            return Typed(expr.cast(pl.String, strict=False), pl.String())


_OF_KIND: dict[ColumnKind, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "datetime": MOMENT,
    "date": pl.Date(),
}


def plain_text(value: Typed) -> pl.Expr:
    """Return the value as a person would write it; null stays null.

    The text does not depend on how the database types the value: 5 and 5.0 are both `5`. Times are
    ISO 8601 in UTC, lists are joined by `, `.
    """
    expr = value.expr
    match value.family:
        case Family.TEXT:
            return expr
        case Family.FLOAT:
            whole = (expr == expr.floor()) & (expr.abs() < _WHOLE_LIMIT)
            digits = expr.cast(pl.Int64, strict=False).cast(pl.String)
            return pl.when(whole).then(digits).otherwise(expr.cast(pl.String))
        case Family.MOMENT:
            return expr.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
        case Family.LIST:
            element = Typed(pl.element(), inner(value.dtype))
            return expr.list.eval(plain_text(element)).list.join(", ", ignore_nulls=True)
        case Family.INTEGER | Family.DECIMAL | Family.BOOLEAN | Family.DATE:
            return expr.cast(pl.String)


def instance(dtype: object) -> pl.DataType:
    """Return a dtype as an instance; Polars takes and gives the bare class as well."""
    made = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(made, pl.DataType)
    return made


def inner(dtype: pl.DataType) -> pl.DataType:
    """Return the element dtype of a list dtype."""
    assert isinstance(dtype, pl.List)
    return instance(dtype.inner)


def literal(value: object) -> Typed:
    """Return a configured value (null, scalar, date, list or mapping) as an expression."""
    match value:
        case bool():
            return Typed(pl.lit(value, dtype=pl.Boolean), pl.Boolean())
        case int() if abs(value) < 2**63:
            return Typed(pl.lit(value, dtype=pl.Int64), pl.Int64())
        case int() | float():
            return Typed(pl.lit(float(value), dtype=pl.Float64), pl.Float64())
        case list() | tuple():
            texts = [None if item is None else _text_of(item) for item in value]
            return Typed(pl.lit(texts, dtype=pl.List(pl.String)), pl.List(pl.String()))
        case None:
            return Typed(pl.lit(None, dtype=pl.String), pl.String())
        case _:
            return Typed(pl.lit(_text_of(value), dtype=pl.String), pl.String())


def _text_of(value: object) -> str:
    match value:
        case str():
            return value
        case dt.date():
            # YAML reads 2024-01-01 as a date, the registry's JSON gives it back as this text.
            return value.isoformat()
        case float() if value.is_integer() and abs(value) < _WHOLE_LIMIT:
            return str(int(value))
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def filled(value: Typed, constant: object) -> Typed:
    """Put a constant in the place of nulls; a constant that is no list is a list of one there.

    Where column and constant are of different kinds both become text, and the field's own type
    decides later whether that text is acceptable. So it is with the elements of lists.
    """
    if constant is None:
        return value
    if value.family is Family.LIST:
        return _filled_list(value, constant if isinstance(constant, list | tuple) else [constant])
    other = literal(constant)
    match value.family, other.family:
        case (mine, theirs) if mine is theirs:
            return Typed(value.expr.fill_null(other.expr), value.dtype)
        case ((Family.INTEGER | Family.FLOAT | Family.DECIMAL), (Family.INTEGER | Family.FLOAT)):
            expr = value.expr.cast(pl.Float64).fill_null(other.expr.cast(pl.Float64))
            return Typed(expr, pl.Float64())
        case _:
            return Typed(plain_text(value).fill_null(pl.lit(_text_of(constant))), pl.String())


def _filled_list(value: Typed, items: Sequence[object]) -> Typed:
    element = inner(value.dtype)
    constants = [literal(item).dtype for item in items if item is not None]
    numbers = element.is_numeric() and all(dtype.is_numeric() for dtype in constants)
    if numbers or all(dtype == element == pl.Boolean() for dtype in constants):
        same = all(dtype == element for dtype in constants)
        dtype = pl.List(element if same else pl.Float64())
        return Typed(value.expr.cast(dtype).fill_null(pl.lit(list(items), dtype=dtype)), dtype)
    texts = value.expr.list.eval(plain_text(Typed(pl.element(), element)))
    return Typed(texts.fill_null(literal(items).expr), pl.List(pl.String()))
