"""A lens and its table to a `LensMapping`, with every mistake told before a row is read.

Compiling touches no database: the table's description is handed in. It imports the user's custom
transforms, so it runs foreign code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from semilayer_pipelines.bridges.protocol import Table
from semilayer_pipelines.config.fields import FieldConfig, FieldType, Merge
from semilayer_pipelines.config.models import LensConfig, OnMisfit
from semilayer_pipelines.config.transforms import Custom, Default, Replace, Round, ToNumber
from semilayer_pipelines.errors import ConfigError, SchemaMismatch, nearest
from semilayer_pipelines.mapping import tokens
from semilayer_pipelines.mapping.custom import load_function
from semilayer_pipelines.mapping.epochs import epoch_unit
from semilayer_pipelines.mapping.hashes import fingerprint, seed
from semilayer_pipelines.mapping.joined import used_joins
from semilayer_pipelines.mapping.keywords import has_keywords
from semilayer_pipelines.mapping.mapped import LensMapping
from semilayer_pipelines.mapping.plan import FieldPlan
from semilayer_pipelines.mapping.transforms import rust_replacement
from semilayer_pipelines.stores.protocol import IndexField

__all__ = ["compile_mapping"]

_MEANING = 1
"""Raise when rows begin to differ where their hashes do not; every row is then written again."""


def compile_mapping(
    config: LensConfig,
    table: Table,
    *,
    key: tuple[str, ...],
    model_fingerprint: str,
    project_dir: Path | None = None,
) -> LensMapping:
    """Compile a lens's fields against its table.

    `table` has the columns of joined tables too, as fields name them. `key` are the key columns,
    `model_fingerprint` the embedder's. Custom transforms are imported from `project_dir`. Raises
    `SchemaMismatch` for columns that the table lacks (all of them in one message) and `ConfigError`
    for functions and patterns that cannot be used.
    """
    _check_columns(config, table, key)
    plans = tuple(
        _field_plan(name, field, table, project_dir) for name, field in config.fields.items()
    )
    used = (column for plan in plans for column in plan.columns)
    meaning = _fingerprint(config, key)
    _check_tenant(config, plans)
    return LensMapping(
        columns=tuple(dict.fromkeys((*key, *used))),
        fields=tuple(
            IndexField(p.name, p.config.type, array=p.config.array, integer=p.integer)
            for p in plans
        ),
        fingerprint=meaning,
        key=key,
        row_seed=seed(meaning),
        text_seed=seed(model_fingerprint),
        plans=plans,
        kinds={column.name: column.kind for column in table.columns},
        tenant=config.tenant,
        on_misfit=config.on_misfit,
    )


def _sources(name: str, field: FieldConfig) -> tuple[str, ...]:
    return field.from_ or (name,)


def _check_columns(config: LensConfig, table: Table, key: tuple[str, ...]) -> None:
    known = [column.name for column in table.columns]
    own = [table.rowid.name] if table.rowid else []
    problems = [
        f"key column {column!r} does not exist{nearest(column, known)}"
        for column in key
        if column not in (*known, *own)
    ]
    if not key:
        problems.append("it has no primary key; name one with 'primaryKey'")
    at_fault: list[str] = []
    for name, field in config.fields.items():
        for column in _sources(name, field):
            if column not in known and not field.undefined_is_filled:
                problems.append(
                    f"field {name!r}: column {column!r} does not exist{nearest(column, known)}"
                )
                at_fault.append(f"fields.{name}.from" if field.from_ else f"fields.{name}")
    if problems:
        error = SchemaMismatch(
            f"table {table.name!r}: {'; '.join(problems)}.",
            cure=f"It has the columns {', '.join(known)}; a server may show a user only those "
            "that it may read. Correct 'from', grant the user SELECT, or give the field an "
            "'undefinedAs' if the column may be missing.",
        )
        error.key = next(iter(at_fault), None)
        raise error


def _check_tenant(config: LensConfig, plans: Sequence[FieldPlan]) -> None:
    plan = next((plan for plan in plans if plan.name == config.tenant), None)
    if plan is not None and plan.config.type is FieldType.NUMBER and not plan.integer:
        # The column's type decides it, and a column may be altered, and altered back.
        raise SchemaMismatch(
            f"tenant: the numbers of field {plan.name!r} may have fractions, which are no names.",
            cure="Fill it from an integer column, or make it a field of type text.",
        )


def _field_plan(name: str, field: FieldConfig, table: Table, project_dir: Path | None) -> FieldPlan:
    columns = [c for c in (table.column(source) for source in _sources(name, field)) if c]
    for step in field.transform:
        if isinstance(step, Replace):
            _check_pattern(name, step)
    return FieldPlan(
        name=name,
        config=field,
        columns=tuple(column.name for column in columns),
        functions=tuple(
            load_function(step.function, name, project_dir)
            for step in field.transform
            if isinstance(step, Custom)
        ),
        integer=_is_integer(field, [column.kind for column in columns]),
        valid_json=(
            [column.kind for column in columns] == ["json"]
            and not field.transform
            and field.null_as is None
        ),
        unit=epoch_unit(field, columns),
    )


def _check_pattern(name: str, step: Replace) -> None:
    replacement = rust_replacement(step.pattern, step.replacement)
    try:
        pl.Series([""]).str.replace_all(step.pattern, replacement)
    except pl.exceptions.ComputeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.startswith("error:")]
        reason = lines[0].removeprefix("error:").strip() if lines else "not a regular expression"
        raise ConfigError(
            f"fields.{name}.transform: replace: pattern {step.pattern!r}: {reason}.",
            cure="Write the pattern without it, or use a custom transform.",
        ) from None


def _is_integer(field: FieldConfig, kinds: list[str]) -> bool:
    """Say whether nothing between source and index can make a fraction of the value."""
    return (
        field.type is FieldType.NUMBER
        and not field.array
        and bool(kinds)
        and all(kind == "integer" for kind in kinds)
        and field.merge is not Merge.CONCAT
        and _keeps_integers(field.null_as)
        and (len(kinds) == len(field.from_ or "1") or _keeps_integers(field.undefined_as))
        and all(
            isinstance(step, Round | ToNumber)
            or (isinstance(step, Default) and _keeps_integers(step.value))
            for step in field.transform
        )
    )


def _keeps_integers(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _fingerprint(config: LensConfig, key: tuple[str, ...]) -> str:
    """Hash what decides a row's mapped values and text.

    Defaults are left out, so that a setting added to this program later changes no fingerprint.
    Of the order of the fields only that of the searchable ones counts: it is the order of the text.
    """
    fields = {
        name: field.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for name, field in config.fields.items()
    }
    searchable = [name for name, field in config.fields.items() if field.searchable]
    parts: dict[str, object] = {
        "meaning": _MEANING,
        "key": key,
        "fields": fields,
        "searchable": searchable,
    }
    if has_keywords(config.fields):
        parts["words"] = tokens.MEANING
    if config.tenant:
        parts["tenant"] = config.tenant
    joins = used_joins(config)
    if joins:
        parts["joins"] = {
            name: {"table": one.table, "on": sorted(one.on.items())} for name, one in joins.items()
        }
    if config.on_misfit is not OnMisfit.NULL_DATES:
        parts["onMisfit"] = config.on_misfit.value
    return fingerprint(parts)
