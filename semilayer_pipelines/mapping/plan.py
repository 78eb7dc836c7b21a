"""The expressions for pages of one schema, built once and used for every such page.

A plan says nothing about rows and holds none. Two selects make a page: the first casts every field
and marks misfits, the second reads the first one's columns, so that no value is worked out twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from semilayer_pipelines.bridges.protocol import SHARD_COLUMN, ColumnKind
from semilayer_pipelines.bridges.row_key import key_text_expr
from semilayer_pipelines.config.fields import FieldConfig
from semilayer_pipelines.config.transforms import Custom, EpochUnit
from semilayer_pipelines.mapping.casts import Cast, cast, dtype_of
from semilayer_pipelines.mapping.custom import Function
from semilayer_pipelines.mapping.embedded_text import embedded_text
from semilayer_pipelines.mapping.hashes import row_bytes
from semilayer_pipelines.mapping.resolve import resolve
from semilayer_pipelines.mapping.transforms import apply_step
from semilayer_pipelines.mapping.typed import Typed, settled
from semilayer_pipelines.stores.protocol import KEY, SHARD

__all__ = ["POSITION", "ROW_BYTES", "TEXT", "FieldPlan", "PagePlan", "page_plan", "prepared_name"]

TEXT = "_text"
ROW_BYTES = "_row_bytes"
POSITION = "\0position"
"""Column with the place of each row on its page, of a page that is mapped in parts."""


@dataclass(frozen=True)
class FieldPlan:
    """One field with what is known about it before any page: its columns and its functions.

    `columns` are the source columns that exist; `functions` the callables of its custom steps, in
    their order; `unit` is what the numbers of its columns count where they stand for times.
    """

    name: str
    config: FieldConfig
    columns: tuple[str, ...]
    functions: tuple[Function, ...]
    integer: bool
    valid_json: bool
    unit: EpochUnit | None = None

    @property
    def dtype(self) -> pl.DataType:
        """Dtype of the mapped column, whatever the page holds."""
        return dtype_of(self.config, integer=self.integer)

    @property
    def steps_after_custom(self) -> int:
        """Position of the first transform after the last custom one."""
        positions = [i for i, s in enumerate(self.config.transform, 1) if isinstance(s, Custom)]
        return max(positions, default=0)


def prepared_name(field: str) -> str:
    """Name of the column in which a field's value after its custom steps is handed over."""
    # A NUL cannot be part of a column name in any database, so nothing can be called the same.
    return f"\0{field}"


@dataclass(frozen=True)
class PagePlan:
    """Expressions over prepared source rows, and over what `cast` gives."""

    cast: tuple[pl.Expr, ...]
    misfits: tuple[str, ...]
    before_cast: Mapping[str, pl.Expr]
    resolved: Mapping[str, pl.Expr]
    derived: tuple[pl.Expr, ...]


def misfit_name(field: str) -> str:
    """Name of the column that marks the rows whose value does not fit a field."""
    return f"\0misfit {field}"


def page_plan(
    fields: tuple[FieldPlan, ...],
    key: tuple[str, ...],
    schema: Mapping[str, pl.DataType],
    kinds: Mapping[str, ColumnKind],
) -> PagePlan:
    """Build the expressions for frames of this schema."""
    values = {field.name: _before_cast(field, schema, kinds) for field in fields}
    resolved = {f.name: resolve(f.config, f.columns, schema, kinds).expr for f in fields}
    casts: dict[str, Cast] = {
        f.name: cast(
            f.config, values[f.name], integer=f.integer, valid_json=f.valid_json, unit=f.unit
        )
        for f in fields
    }
    shard = [pl.col(SHARD_COLUMN).cast(pl.Int32).alias(SHARD)] if SHARD_COLUMN in schema else []
    position = [pl.col(POSITION)] if POSITION in schema else []
    marks = {n: c.misfit.alias(misfit_name(n)) for n, c in casts.items() if c.misfit is not None}
    dtypes = {field.name: field.dtype for field in fields}
    by_name = sorted(dtypes.items())
    return PagePlan(
        cast=(
            key_text_expr(key).alias(KEY),
            *shard,
            *position,
            *(c.expr.alias(name) for name, c in casts.items()),
            *marks.values(),
        ),
        misfits=tuple(marks),
        before_cast={name: value.expr for name, value in values.items()},
        resolved=resolved,
        derived=(
            embedded_text({f.name: f.config for f in fields}, dtypes).alias(TEXT),
            row_bytes([(KEY, pl.String()), *by_name]).alias(ROW_BYTES),
        ),
    )


def _before_cast(
    field: FieldPlan, schema: Mapping[str, pl.DataType], kinds: Mapping[str, ColumnKind]
) -> Typed:
    if field.functions:
        name = prepared_name(field.name)
        value = settled(pl.col(name), schema[name])
    else:
        value = resolve(field.config, field.columns, schema, kinds)
    for step in field.config.transform[field.steps_after_custom :]:
        assert not isinstance(step, Custom)
        value = apply_step(step, value, field.unit)
    return value
