"""Numbers that stand for times, and the unit that they count.

Column and configuration decide over the unit, never the size of a number: a zero or a far future in
a column of seconds is in seconds, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from semilayer_pipelines.bridges.protocol import Column
from semilayer_pipelines.bridges.unfit import with_unfit
from semilayer_pipelines.config.fields import FieldConfig, FieldType
from semilayer_pipelines.config.transforms import (
    Default,
    EpochUnit,
    Round,
    ToDate,
    ToNumber,
    Transform,
)
from semilayer_pipelines.errors import ConfigError

__all__ = ["check_epochs", "epoch_unit", "is_assumed"]

_KEEPS_NUMBERS = (Default, Round, ToNumber, ToDate)
_NUMBERS = ("integer", "number")
# Seconds since 1970 of the years 1973 to 5138: in no other unit is such a time the same number.
_PLAUSIBLE = (1e8, 1e11)
_PER_SECOND: dict[EpochUnit, float] = {
    "seconds": 1,
    "milliseconds": 1e3,
    "microseconds": 1e6,
    "nanoseconds": 1e9,
}
_DIGITS = r"^-?\d+(\.\d+)?(e[+-]?\d+)?$"


def epoch_unit(field: FieldConfig, columns: Sequence[Column]) -> EpochUnit | None:
    """Return what the numbers of these columns count in a date; `None` where they hold none.

    An integer of 32 bits or fewer counts seconds: in milliseconds it ends in January 1970.
    """
    if field.type is not FieldType.DATE or not columns or _unit_of(field.transform) is not None:
        return _unit_of(field.transform)
    if not all(column.kind in _NUMBERS for column in columns):
        return None
    if not all(isinstance(step, _KEEPS_NUMBERS) for step in field.transform):
        return None
    narrow = all(c.highest is not None and c.highest < 2**32 for c in columns)
    return "seconds" if narrow else "milliseconds"


def is_assumed(field: FieldConfig) -> bool:
    """Say whether the configuration leaves it to the columns what a number counts."""
    return (
        field.type is FieldType.DATE
        and _unit_of(field.transform) is None
        and all(isinstance(step, _KEEPS_NUMBERS) for step in field.transform)
    )


def check_epochs(
    name: str, field: FieldConfig, columns: Sequence[Column], rows: pl.DataFrame
) -> None:
    """Raise `ConfigError` when a date's numbers, as they would be read, are nobody's times.

    `rows` are some rows of the source with these columns. Zeros and nulls say nothing.
    """
    shown = with_unfit(rows)
    for column in columns:
        texts = shown[column.name].cast(pl.String, strict=False).drop_nulls().str.strip_chars()
        numbers = texts.filter(texts.str.contains(_DIGITS))
        sizes = numbers.cast(pl.Float64, strict=False).abs()
        given, sizes = numbers.filter(sizes > 0), sizes.filter(sizes > 0)
        if given.is_empty():
            continue
        if column.kind in _NUMBERS:
            unit = epoch_unit(field, columns) or "milliseconds"
            if (sizes / _PER_SECOND[unit]).is_between(*_PLAUSIBLE, closed="left").any():
                continue
            told = f"which in {unit} are no times from 1973 on"
        elif len(numbers) < len(texts):
            continue
        else:
            told = "and does not say what they count"
        raise ConfigError(
            f"field {name!r} is a date, and its column {column.name!r} holds numbers such as "
            f"{given[0]}, {told}.",
            cure=f"Say what they count since 1970: `transform: {{type: toDate, unit: "
            f"{_likely(sizes[0])}}}`; or seconds, milliseconds, microseconds, nanoseconds.",
        )


def _unit_of(steps: Sequence[Transform]) -> EpochUnit | None:
    return next((step.unit for step in steps if isinstance(step, ToDate) and step.unit), None)


def _likely(size: float) -> EpochUnit:
    return next((u for u, per in _PER_SECOND.items() if size < _PLAUSIBLE[1] * per), "nanoseconds")
