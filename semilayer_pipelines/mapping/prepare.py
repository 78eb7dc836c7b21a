"""The steps that rows need before expressions: custom transforms and binary texts.

Both are Python over single values, so both can fail for single rows. Those are named here and
their values are null from then on; nothing is dropped yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from semilayer_pipelines.bridges.protocol import ColumnKind
from semilayer_pipelines.config.transforms import Custom
from semilayer_pipelines.mapping.custom import apply_custom
from semilayer_pipelines.mapping.plan import FieldPlan, prepared_name
from semilayer_pipelines.mapping.resolve import resolve
from semilayer_pipelines.mapping.transforms import apply_step
from semilayer_pipelines.mapping.typed import settled

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """Source rows with a column more for each field that has custom transforms.

    `faults` gives field and reason by the row's position: the first fault of each row.
    """

    frame: pl.DataFrame
    faults: dict[int, tuple[str, str]] = field(default_factory=dict)


def prepare(
    rows: pl.DataFrame, fields: Iterable[FieldPlan], kinds: Mapping[str, ColumnKind]
) -> Prepared:
    """Decode binary columns and run the custom transforms."""
    fields = tuple(fields)
    faults: dict[int, tuple[str, str]] = {}
    frame = _decoded(rows, fields, faults)
    for plan in fields:
        if plan.functions:
            frame = frame.with_columns(_customised(frame, plan, kinds, faults))
    return Prepared(frame, faults)


def _decoded(
    rows: pl.DataFrame, fields: tuple[FieldPlan, ...], faults: dict[int, tuple[str, str]]
) -> pl.DataFrame:
    for column in (name for name, dtype in rows.schema.items() if dtype == pl.Binary()):
        using = next((plan.name for plan in fields if column in plan.columns), None)
        texts: list[str | None] = []
        # Row by row: Polars' cast of bytes to text fails the page for one value that is no UTF-8.
        for position, value in enumerate(rows[column]):
            try:
                texts.append(None if value is None else value.decode())
            except UnicodeDecodeError:
                texts.append(None)
                if using:
                    reason = f"field {using}: {len(value)} bytes are not UTF-8 text"
                    faults.setdefault(position, (using, reason))
        rows = rows.with_columns(pl.Series(column, texts, dtype=pl.String))
    return rows


def _customised(
    frame: pl.DataFrame,
    plan: FieldPlan,
    kinds: Mapping[str, ColumnKind],
    faults: dict[int, tuple[str, str]],
) -> pl.Series:
    name = prepared_name(plan.name)
    value = resolve(plan.config, plan.columns, frame.schema, kinds)
    functions = iter(plan.functions)
    series = pl.Series(name, [], dtype=pl.Null)
    for step in plan.config.transform[: plan.steps_after_custom]:
        if not isinstance(step, Custom):
            value = apply_step(step, value, plan.unit)
            continue
        # with_columns and not select, so that a constant has as many values as there are rows.
        given = frame.with_columns(value.expr.alias(name))[name].alias(plan.name)
        applied = apply_custom(next(functions), given)
        for position, message in applied.faults.items():
            reason = f"field {plan.name}: {step.function}: {message}"
            faults.setdefault(position, (plan.name, reason))
        series = applied.values.alias(name)
        frame = frame.with_columns(series)
        value = settled(pl.col(name), series.dtype)
    return series
