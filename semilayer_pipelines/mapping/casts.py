"""Last step of a field: from whatever the transforms left to the field's type.

A cast never raises and never guesses: a value that is not null before and null after it does not
fit, and its row is set aside. Dtypes depend on the field alone, never on the rows of a page.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.config.fields import FieldConfig, FieldType
from semilayer_pipelines.config.transforms import EpochUnit
from semilayer_pipelines.mapping.lists import parse_lists
from semilayer_pipelines.mapping.scalars import to_boolean, to_float, to_integer, to_moment
from semilayer_pipelines.mapping.typed import MOMENT, Family, Typed, inner, plain_text

__all__ = ["Cast", "cast", "complaint", "dtype_of"]


@dataclass(frozen=True)
class Cast:
    """A field's value in its type, and which rows do not fit (`None`: all do)."""

    expr: pl.Expr
    misfit: pl.Expr | None


def dtype_of(field: FieldConfig, *, integer: bool) -> pl.DataType:
    """Return the dtype that a field's mapped column always has."""
    scalar = _scalar_dtype(field.type, integer)
    return pl.List(scalar) if field.array else scalar


def _scalar_dtype(kind: FieldType, integer: bool) -> pl.DataType:
    match kind:
        case FieldType.NUMBER:
            return pl.Int64() if integer else pl.Float64()
        case FieldType.BOOLEAN:
            return pl.Boolean()
        case FieldType.DATE:
            return MOMENT
        case FieldType.TEXT | FieldType.JSON | FieldType.ENUM:
            return pl.String()


def cast(
    field: FieldConfig,
    value: Typed,
    *,
    integer: bool,
    valid_json: bool = False,
    unit: EpochUnit | None = None,
) -> Cast:
    """Return the value in the field's type; `unit` is what numbers count that stand for times.

    `valid_json` says that the source itself guarantees JSON, which spares a pass over the texts.
    """
    if field.array:
        return _list(field, value, integer, unit)
    expr = _scalar(field, value, integer, valid_json, unit)
    sure = _always_fits(field.type, value, integer, valid_json)
    dtype = dtype_of(field, integer=integer)
    misfit = None if sure else value.expr.is_not_null() & expr.is_null()
    return Cast(expr.cast(dtype), misfit)


def _always_fits(kind: FieldType, value: Typed, integer: bool, valid_json: bool) -> bool:
    match kind, value.family:
        case FieldType.TEXT, _:
            return True
        case FieldType.JSON, family:
            return valid_json or family is not Family.TEXT
        case FieldType.NUMBER, Family.INTEGER:
            return not integer or value.dtype == pl.Int64()
        case (FieldType.BOOLEAN, Family.BOOLEAN) | (FieldType.DATE, Family.DATE | Family.MOMENT):
            return True
        case _:
            return False


def _scalar(
    field: FieldConfig, value: Typed, integer: bool, valid_json: bool, unit: EpochUnit | None
) -> pl.Expr:
    match field.type:
        case FieldType.TEXT:
            return plain_text(value)
        case FieldType.NUMBER:
            return to_integer(value) if integer else to_float(value)
        case FieldType.BOOLEAN:
            return to_boolean(value)
        case FieldType.DATE:
            return to_moment(value, unit)
        case FieldType.JSON:
            return _json(value, valid_json)
        case FieldType.ENUM:
            text = plain_text(value)
            return pl.when(text.is_in(list(field.values))).then(text)


def _json(value: Typed, valid_json: bool) -> pl.Expr:
    match value.family:
        case Family.TEXT if valid_json:
            return value.expr
        case Family.TEXT:
            # The path `$` of a JSON text is the text itself, and null where there is no JSON; the
            # one JSON text whose value is null has to be let through by name.
            parses = value.expr.str.json_path_match("$").is_not_null()
            null = value.expr.str.strip_chars() == "null"
            return pl.when(parses | null).then(value.expr)
        case Family.LIST:
            wrapped = pl.struct(value.expr.alias("v")).struct.json_encode()
            encoded = wrapped.str.strip_prefix('{"v":').str.strip_suffix("}")
            return pl.when(value.expr.is_not_null()).then(encoded)
        case Family.DATE | Family.MOMENT:
            return pl.concat_str(pl.lit('"'), plain_text(value), pl.lit('"'))
        case _:
            return plain_text(value)


def _list(field: FieldConfig, value: Typed, integer: bool, unit: EpochUnit | None) -> Cast:
    if value.family is Family.TEXT:
        as_json = field.type is FieldType.JSON
        source = Typed(parse_lists(value.expr, as_json=as_json), pl.List(pl.String()))
    elif value.family is Family.LIST:
        source = value
    else:
        nothing = pl.lit(None, dtype=pl.List(pl.String))
        source = Typed(pl.when(False).then(nothing), pl.List(pl.String()))
    element = _scalar(field, Typed(pl.element(), inner(source.dtype)), integer, False, unit)
    # Null elements are dropped: no store can keep them, and they say nothing.
    before = source.expr.list.drop_nulls()
    after = before.list.eval(element.cast(_scalar_dtype(field.type, integer))).list.drop_nulls()
    lost = (before.list.len() != after.list.len()).fill_null(False)
    return Cast(after, lost | (value.expr.is_not_null() & source.expr.is_null()))


_SHOWN = 60


def complaint(name: str, field: FieldConfig, shown: object, *, integer: bool) -> str:
    """Return why a value does not fit, as a sentence for people."""
    text = repr(shown)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"field {name}: {text} {_expectation(field, integer)}"


def _expectation(field: FieldConfig, integer: bool) -> str:
    if field.array:
        return f"is not a list of type {field.type}"
    match field.type:
        case FieldType.NUMBER if integer:
            return "is not a whole number of 64 bits"
        case FieldType.NUMBER:
            return "is not a number"
        case FieldType.BOOLEAN:
            return "is neither true nor false"
        case FieldType.DATE:
            return "is not a date"
        case FieldType.JSON:
            return "is not JSON"
        case FieldType.ENUM:
            return f"is not one of {', '.join(field.values)}"
        case FieldType.TEXT:
            return "is not a text"
