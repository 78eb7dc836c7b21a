"""Checks the value of a condition against the field that it is compared with."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores.protocol import IndexField
from semilayer_pipelines.stores.where import Operator, Scalar

__all__ = ["INT64", "fitting", "known_field", "refuse_unordered", "whole"]

INT64 = range(-(2**63), 2**63)

_ORDERED = (FieldType.TEXT, FieldType.NUMBER, FieldType.DATE)


def known_field(name: str, fields: dict[str, IndexField]) -> IndexField:
    """Return the field that a condition names; raise `ConfigError` when the index has none."""
    if name not in fields:
        raise ConfigError(
            f"where: the index has no field {name!r}.", cure=f"Fields: {', '.join(fields)}."
        )
    return fields[name]


def fitting(field: IndexField, value: Scalar) -> str | bool | int | float | datetime:
    """Return the value as the field has it, dates in UTC; raise `ConfigError` if it is none."""
    match field.type, value:
        case FieldType.BOOLEAN, bool():
            return value
        case ((FieldType.TEXT | FieldType.ENUM | FieldType.JSON), str()):
            return value
        case FieldType.DATE, str():
            return _moment(field, value)
        case FieldType.NUMBER, bool():
            pass
        case FieldType.NUMBER, int() | float() if _finite(value):
            return value
    raise ConfigError(f"where: {field.name} is of type {field.type}; {value!r} is not.")


def whole(value: float) -> int | None:
    """Return a number as the 64-bit integer it equals; `None` when it equals none."""
    return int(value) if value == int(value) and int(value) in INT64 else None


def refuse_unordered(field: IndexField, operator: Operator) -> None:
    """Raise `ConfigError` when the values of a field have no order to compare by."""
    if field.array or field.type not in _ORDERED:
        kind = f"a list of {field.type}" if field.array else f"of type {field.type}"
        raise ConfigError(
            f"where: {field.name} is {kind}, which {operator} cannot order.",
            cure="Use $eq, $ne, $in, $nin or $empty.",
        )


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _moment(field: IndexField, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"where: {field.name} is a date; {text!r} is not.",
            cure="Write it as ISO 8601: 2026-01-31 or 2026-01-31T12:00:00Z.",
        ) from None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ConfigError(
            f"where: {field.name}: {text!r} is not within the years 1 to 9999 in UTC."
        ) from None
