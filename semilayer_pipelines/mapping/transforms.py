"""The built-in transforms as Polars expressions.

Left to right, after `nullAs` and before the field's type. Each says in its row of the configuration
reference how it treats null: the text transforms give an empty text, the others leave null alone.
On a list every step but `join`, `default` and `toString` works on the elements, so `split` and then
`trim` do what they say. `custom` is not here: it needs rows, see `custom.py`.
"""

from __future__ import annotations

import re

import polars as pl

from semilayer_pipelines.config import transforms as m
from semilayer_pipelines.config.transforms import EpochUnit
from semilayer_pipelines.mapping.markup import html_to_text, json_to_text
from semilayer_pipelines.mapping.scalars import to_moment, to_number
from semilayer_pipelines.mapping.typed import MOMENT, Family, Typed, filled, inner, plain_text

__all__ = ["BuiltIn", "apply_step", "rust_replacement"]

BuiltIn = (
    m.ToString
    | m.ToNumber
    | m.ToBoolean
    | m.ToDate
    | m.Round
    | m.Trim
    | m.Lowercase
    | m.Uppercase
    | m.HtmlToText
    | m.JsonToText
    | m.Truncate
    | m.Replace
    | m.Split
    | m.Join
    | m.Default
)

_LONGEST_TEXT = 2**32
"""Bytes, so characters too, that a text of Polars cannot have. It counts no further than 2**63."""


def apply_step(step: BuiltIn, value: Typed, unit: EpochUnit | None = None) -> Typed:
    """Return the value after one transform; `unit` is what numbers count that stand for times."""
    is_list = value.family is Family.LIST
    match step:
        case m.Default():
            return filled(value, step.value)
        case m.ToString():
            return _text(plain_text(value).fill_null(""))
        case m.Join() if is_list:
            texts = value.expr.list.eval(plain_text(Typed(pl.element(), inner(value.dtype))))
            return _text(texts.list.join(step.separator, ignore_nulls=True))
        case m.Join():
            return value
        case m.Split() if is_list:
            return value
        case _ if is_list:
            element = apply_step(step, Typed(pl.element(), inner(value.dtype)), unit)
            return Typed(value.expr.list.eval(element.expr), pl.List(element.dtype))
        case _:
            return _scalar(step, value, unit)


def _scalar(step: BuiltIn, value: Typed, unit: EpochUnit | None) -> Typed:
    match step:
        case m.ToNumber():
            return _number_or_nan(value)
        case m.ToBoolean():
            word = plain_text(value).str.to_lowercase()
            return Typed(word.is_in(["true", "1", "yes"]).fill_null(False), pl.Boolean())
        case m.ToDate():
            return Typed(to_moment(value, step.unit or unit), MOMENT)
        case m.Round():
            return _rounded(step, _number_or_nan(value))
        case m.Trim():
            return _text(plain_text(value).str.strip_chars().fill_null(""))
        case m.Lowercase():
            return _text(plain_text(value).str.to_lowercase().fill_null(""))
        case m.Uppercase():
            return _text(plain_text(value).str.to_uppercase().fill_null(""))
        case m.HtmlToText():
            return _text(html_to_text(plain_text(value)))
        case m.JsonToText():
            return _text(json_to_text(plain_text(value)))
        case m.Truncate():
            return _text(plain_text(value).str.head(min(step.length, _LONGEST_TEXT)))
        case m.Replace():
            replacement = rust_replacement(step.pattern, step.replacement)
            return _text(plain_text(value).str.replace_all(step.pattern, replacement))
        case m.Split():
            return Typed(plain_text(value).str.split(step.separator), pl.List(pl.String()))
        case m.ToString() | m.Join() | m.Default():
            raise AssertionError(f"{step.type} is handled for lists and scalars alike")


def _text(expr: pl.Expr) -> Typed:
    return Typed(expr, pl.String())


def _number_or_nan(value: Typed) -> Typed:
    number = to_number(value)
    if value.family not in (Family.TEXT, Family.LIST):
        return number
    nan = pl.when(value.expr.is_not_null()).then(pl.lit(float("nan")))
    return Typed(number.expr.fill_null(nan), pl.Float64())


def _rounded(step: m.Round, number: Typed) -> Typed:
    if number.family is Family.INTEGER:
        return number
    expr = number.expr
    nearest = expr.round(step.decimals, mode="half_to_even")
    unit = 10.0**-step.decimals
    # Up and down go by the nearest multiple and not by scaling: 1.1 * 10 is a little more than 11,
    # and its ceiling would make 1.2 of 1.1.
    match step.mode:
        case "round":
            rounded = nearest
        case "ceil":
            above = (nearest + unit).round(step.decimals)
            rounded = pl.when(nearest >= expr).then(nearest).otherwise(above)
        case "floor":
            below = (nearest - unit).round(step.decimals)
            rounded = pl.when(nearest <= expr).then(nearest).otherwise(below)
    return Typed(rounded, pl.Float64())


_REFERENCE = re.compile(r"\$(?:(\$)|(&)|(\d\d?)|<(\w+)>)|\$")


def rust_replacement(pattern: str, replacement: str) -> str:
    """Return a JavaScript replacement text (`$1`, `$&`, `$<name>`, `$$`) in Rust's notation.

    As in JavaScript a number that is no group of the pattern stays as it is written.
    """
    groups = re.compile(pattern).groups

    def translated(match: re.Match[str]) -> str:
        dollar, whole, number, name = match.groups()
        if name:
            return f"${{{name}}}"
        if whole:
            return "${0}"
        if number and 0 < int(number) <= groups:
            return f"${{{int(number)}}}"
        if number and 0 < int(number[0]) <= groups:
            return f"${{{number[0]}}}{number[1:]}"
        return "$$" + (number or "") if not dollar else "$$"

    return _REFERENCE.sub(translated, replacement)
