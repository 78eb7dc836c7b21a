"""First step of a field: from source columns to one value.

The order is the product's: `from` and `merge`, then `undefinedAs`, then `nullAs`. Null and missing
are two things: a column that the table lacks never becomes null by itself, `compile_mapping` has
refused it before unless `undefinedAs` says what to put there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from semilayer_pipelines.bridges.protocol import ColumnKind
from semilayer_pipelines.config.fields import FieldConfig, Merge
from semilayer_pipelines.mapping.typed import Family, Typed, filled, literal, plain_text, settled

__all__ = ["resolve"]


def resolve(
    field: FieldConfig,
    columns: Sequence[str],
    schema: Mapping[str, pl.DataType],
    kinds: Mapping[str, ColumnKind],
) -> Typed:
    """Return the value of a field before its transforms.

    `columns` are those of its source columns that exist; with none of them the value is
    `undefinedAs`. `kinds` gives the declared kind of each column.
    """
    parts = [settled(pl.col(name), schema[name], kinds.get(name, "other")) for name in columns]
    match field.merge, parts:
        case _, []:
            value = literal(field.undefined_as)
        case Merge.CONCAT, _:
            texts = [plain_text(part) for part in parts]
            joined = pl.concat_str(texts, separator=field.separator or "", ignore_nulls=True)
            value = Typed(joined, pl.String())
        case Merge.COALESCE, _:
            value = _first_of(parts)
        case _:
            value = parts[0]
    return filled(value, field.null_as)


_NUMBERS = {Family.INTEGER, Family.FLOAT, Family.DECIMAL}


def _first_of(parts: list[Typed]) -> Typed:
    if all(part.dtype == parts[0].dtype for part in parts):
        return Typed(pl.coalesce(part.expr for part in parts), parts[0].dtype)
    if all(part.family is Family.INTEGER for part in parts):
        return Typed(pl.coalesce(part.expr.cast(pl.Int128) for part in parts), pl.Int128())
    if all(part.family in _NUMBERS for part in parts):
        return Typed(pl.coalesce(part.expr.cast(pl.Float64) for part in parts), pl.Float64())
    return Typed(pl.coalesce(plain_text(part) for part in parts), pl.String())
