"""Rows of a server as columns of a frame, by types decided beforehand.

The types come from the table's description, never from the rows, so every page has the same ones. A
value that does not fit its type (PostgreSQL's `infinity`, MariaDB's `0000-00-00`) stands as text in
a column of its own, see `unfit`: nothing is lost and no page is killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from semilayer_pipelines.bridges.database import Query
from semilayer_pipelines.bridges.unfit import RowsDoNotFit, unfit_name

__all__ = ["frame_of", "shortest", "times_of"]

_MOMENT = "%Y-%m-%d %H:%M:%S%.f"
_DATE = "%Y-%m-%d"


def frame_of(query: Query, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Return the frame of rows whose values stand in the order of the query's columns.

    Raises `RowsDoNotFit` for values that a column of the described type cannot have.
    """
    if not rows:
        return pl.DataFrame(schema=_schema(query))
    columns = zip(*rows, strict=True)
    try:
        made = [
            _series(name, list(values), dtype)
            for (name, dtype), values in zip(_types(query).items(), columns, strict=False)
        ]
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        raise RowsDoNotFit(str(error)) from error
    return pl.DataFrame([*(typed for typed, _ in made), *(u for _, u in made if u is not None)])


def _schema(query: Query) -> dict[str, pl.DataType]:
    # Frames hold doubles: a filter for 19.99 would not find the single that is nearest to it.
    return {
        name: pl.Float64() if isinstance(dtype, pl.Float32) else dtype
        for name, dtype in _types(query).items()
    }


def _types(query: Query) -> dict[str, pl.DataType]:
    dtypes = query.dtypes()
    for name in query.key:
        # Key text must be text, so bytes in a key are written as hexadecimal digits.
        if isinstance(dtypes[name], pl.Binary):
            dtypes[name] = pl.String()
    return dtypes


def _series(name: str, values: list[Any], dtype: pl.DataType) -> tuple[pl.Series, pl.Series | None]:
    """Return a column, and beside it the texts of the values that do not fit its type."""
    match dtype:
        case pl.Datetime() | pl.Date():
            return times_of(pl.Series(name, values, dtype=pl.String), dtype)
        case pl.Boolean():
            return pl.Series(name, [_boolean(value) for value in values], dtype), None
        case pl.Float32():
            return shortest(pl.Series(name, values, pl.Float64)), None
        case pl.String() if any(isinstance(value, bytes) for value in values):
            return pl.Series(
                name, [v.hex() if isinstance(v, bytes) else v for v in values], dtype
            ), None
        case _:
            return pl.Series(name, values, dtype), None


def _boolean(value: Any) -> bool | None:
    if value not in (None, 0, 1):
        raise TypeError(f"{type(value).__name__} in a column of booleans")
    return None if value is None else bool(value)


def shortest(singles: pl.Series) -> pl.Series:
    """Return single precision numbers as doubles that have the same digits.

    The double of the same value has digits that nobody wrote: 19.989999771118164.
    """
    return singles.cast(pl.Float32).cast(pl.String).cast(pl.Float64)


def times_of(texts: pl.Series, dtype: pl.Datetime | pl.Date) -> tuple[pl.Series, pl.Series | None]:
    """Return a server's texts as times or dates, and beside them those that do not fit."""
    if isinstance(dtype, pl.Date):
        return _fitting(texts, texts.str.to_date(_DATE, strict=False))
    zoned = dtype.time_zone is not None
    # The session speaks UTC, so a zoned time ends in `+00` (PostgreSQL) or in nothing (MariaDB).
    bare = texts.str.strip_suffix("+00") if zoned else texts
    typed = bare.str.to_datetime(_MOMENT, time_unit="us", strict=False)
    return _fitting(texts, typed.dt.replace_time_zone("UTC") if zoned else typed)


def _fitting(texts: pl.Series, typed: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    if typed.null_count() == texts.null_count():
        return typed, None
    unfit = texts.to_frame().select(pl.when(typed.is_null()).then(pl.first())).to_series()
    return typed, unfit.alias(unfit_name(texts.name))
