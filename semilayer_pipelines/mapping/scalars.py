"""Values to numbers, booleans and points in time, from whatever dtype they came in.

Shared by the transforms and by the final cast. A value that does not convert is null here; the
caller decides what that means.
"""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.config.transforms import EpochUnit
from semilayer_pipelines.mapping.dates import parse_moments
from semilayer_pipelines.mapping.typed import MOMENT, Family, Typed, plain_text

__all__ = ["to_boolean", "to_float", "to_integer", "to_moment", "to_number"]

_TRUE = ["true", "t", "yes", "y", "1", "on"]
_FALSE = ["false", "f", "no", "n", "0", "off"]

# Seconds since 1970 of the years 1 to 9999; Polars panics on what no calendar can name.
_CALENDAR = (-62_135_596_800, 253_402_300_799)
_MICROSECONDS = 1_000_000
_PER_SECOND: dict[EpochUnit, int] = {
    "seconds": 1,
    "milliseconds": 1_000,
    "microseconds": 1_000_000,
    "nanoseconds": 1_000_000_000,
}


def to_number(value: Typed) -> Typed:
    """Return a number: numbers as they are, dates as epoch milliseconds, booleans as 0 and 1."""
    match value.family:
        case Family.INTEGER | Family.FLOAT:
            return value
        case Family.DATE | Family.MOMENT:
            moment = value.expr.cast(MOMENT, strict=False)
            return Typed(moment.dt.epoch("ms"), pl.Int64())
        case Family.BOOLEAN:
            return Typed(value.expr.cast(pl.Int64), pl.Int64())
        case Family.DECIMAL:
            return Typed(value.expr.cast(pl.Float64), pl.Float64())
        case Family.TEXT:
            expr = value.expr.str.strip_chars().cast(pl.Float64, strict=False)
            return Typed(expr, pl.Float64())
        case Family.LIST:
            return Typed(pl.when(False).then(pl.lit(0.0)), pl.Float64())


def to_float(value: Typed) -> pl.Expr:
    """Return Float64; NaN and infinities are null, negative zero is zero."""
    number = to_number(value)
    expr = number.expr.cast(pl.Float64)
    if number.family is Family.INTEGER:
        return expr
    # Adding zero turns -0.0 into 0.0, so that equal numbers have equal bits and equal hashes.
    return pl.when(expr.is_finite()).then(expr + 0.0)


def to_integer(value: Typed) -> pl.Expr:
    """Return Int64; fractions and what is outside of 64 bits are null."""
    if value.family is Family.TEXT:
        # Directly first: a float in between would round what is larger than 2**53.
        exact = value.expr.str.strip_chars().cast(pl.Int64, strict=False)
        return pl.coalesce(exact, _whole(to_float(value)))
    number = to_number(value)
    if number.family is Family.INTEGER:
        return number.expr.cast(pl.Int64, strict=False)
    return _whole(number.expr)


def _whole(expr: pl.Expr) -> pl.Expr:
    return pl.when(expr == expr.floor()).then(expr.cast(pl.Int64, strict=False))


def to_boolean(value: Typed) -> pl.Expr:
    """Return Boolean from booleans, 0 and 1, and the usual words in any case."""
    if value.family is Family.BOOLEAN:
        return value.expr
    if value.family is Family.INTEGER:
        return pl.when(value.expr == 1).then(True).when(value.expr == 0).then(False)
    word = plain_text(value).str.strip_chars().str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False)


def to_moment(value: Typed, unit: EpochUnit | None = None) -> pl.Expr:
    """Return Datetime[us, UTC] from dates, ISO 8601 texts and numbers.

    `unit` is what a number counts since 1970. Without one it is milliseconds, and a text of a
    number is no date.
    """
    match value.family:
        case Family.DATE | Family.MOMENT:
            return value.expr.cast(MOMENT, strict=False)
        case Family.TEXT if unit is not None:
            return pl.coalesce(parse_moments(value.expr), _from_digits(value.expr, unit))
        case Family.TEXT:
            return parse_moments(value.expr)
        case Family.INTEGER:
            return _from_whole(value.expr, unit or "milliseconds")
        case Family.FLOAT | Family.DECIMAL:
            return _from_fraction(value.expr, unit or "milliseconds")
        case Family.BOOLEAN | Family.LIST:
            return pl.when(False).then(pl.lit(None, dtype=MOMENT))


def _from_digits(texts: pl.Expr, unit: EpochUnit) -> pl.Expr:
    digits = texts.str.strip_chars()
    # As an integer first: a float in between would round nanoseconds.
    return pl.coalesce(
        _from_whole(digits.cast(pl.Int64, strict=False), unit),
        _from_fraction(digits.cast(pl.Float64, strict=False), unit),
    )


def _from_whole(number: pl.Expr, unit: EpochUnit) -> pl.Expr:
    per_second = _PER_SECOND[unit]
    lowest, highest = (bound * per_second for bound in _CALENDAR)
    whole = number.cast(pl.Int64, strict=False)
    named = pl.when(whole.is_between(max(lowest, -(2**63)), min(highest, 2**63 - 1))).then(whole)
    if per_second > _MICROSECONDS:
        return (named // (per_second // _MICROSECONDS)).cast(MOMENT)
    return (named * (_MICROSECONDS // per_second)).cast(MOMENT)


def _from_fraction(number: pl.Expr, unit: EpochUnit) -> pl.Expr:
    seconds = number.cast(pl.Float64) / _PER_SECOND[unit]
    named = pl.when(seconds.is_between(*_CALENDAR)).then(seconds)
    return (named * _MICROSECONDS).round(0).cast(pl.Int64).cast(MOMENT)
