"""Frames of objects as what the client sends.

Values are brought into shape column by column; only the last step goes object by object, because
the client takes one at a time. What Weaviate cannot hold is found before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from weaviate.classes.data import DataObject

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    WORDS,
    IndexField,
)
from semilayer_pipelines.stores.weaviate.ids import object_id
from semilayer_pipelines.stores.weaviate.names import exact_name, property_name
from semilayer_pipelines.stores.weaviate.placing import SLOT
from semilayer_pipelines.stores.weaviate.schema import (
    EMPTY,
    LATER,
    SAFE,
    VECTOR_AT,
    VECTOR_NAME,
    has_exact,
)

__all__ = [
    "CHUNK_OBJECTS",
    "Outgoing",
    "chunks",
    "outgoing",
    "polars_type",
    "property_names",
    "scalar_text",
]

CHUNK_OBJECTS = 500
"""Objects in one request, as many as a server takes in one stride."""

CHUNK_BYTES = 8 * 2**20
"""Bytes in one request, a twelfth of what a server takes by default."""

_DATE = "%Y-%m-%dT%H:%M:%S%.6fZ"
_OVERHEAD = 256  # bytes of an object besides its values: ids, hashes, names of properties
_DIGITS = 19  # of the largest 64-bit integer


@dataclass(frozen=True)
class Outgoing:
    """Objects ready to be sent, one for each of `rows`; `rejected` maps other keys to reasons."""

    objects: list[DataObject[Any, Any]]
    rows: pl.DataFrame
    rejected: dict[str, str]


def chunks(objects: pl.DataFrame, dimension: int, most_bytes: int) -> Iterator[pl.DataFrame]:
    """Cut a frame so that no part is beyond `CHUNK_OBJECTS` and `CHUNK_BYTES`, but for one row.

    A server may take no more than `most_bytes` in a request.
    """
    most = min(CHUNK_BYTES, most_bytes)
    ends = np.cumsum(_sizes(objects, dimension))
    start = 0
    while start < objects.height:
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + most, side="right")) - start
        length = max(1, min(fitting, CHUNK_OBJECTS))
        yield objects.slice(start, length)
        start += length


def outgoing(
    objects: pl.DataFrame, fields: Sequence[IndexField], *, most_bytes: int, later: bool
) -> Outgoing:
    """Return what to send of a frame; a row larger than `most_bytes` is among the rejected.

    The frame has SLOT beside the columns of objects and, when the collection has them (`later`),
    `LATER`.
    """
    reasons = _reasons(objects, fields, most_bytes)
    rejected = reasons.is_not_null()
    refused = dict(zip(objects[KEY].filter(rejected), reasons.filter(rejected), strict=True))
    if refused:
        objects = objects.filter(~rejected)
    vectors = objects[VECTOR].to_numpy().tolist()
    properties = _property_dicts(objects, fields, LATER if later else ())
    return Outgoing(
        [
            DataObject(properties=values, uuid=object_id(key, slot), vector={VECTOR_NAME: vector})
            for key, slot, values, vector in zip(
                objects[KEY].to_list(), objects[SLOT].to_list(), properties, vectors, strict=True
            )
        ],
        objects,
        refused,
    )


def property_names(field: IndexField) -> list[str]:
    """Return the properties in which a field is kept."""
    exact = [exact_name(field.name)] if has_exact(field) else []
    return [property_name(field.name), *exact]


def polars_type(field: IndexField) -> pl.DataType:
    """Return the dtype of a field's column."""
    match field.type:
        case FieldType.TEXT | FieldType.ENUM | FieldType.JSON:
            scalar: pl.DataType = pl.String()
        case FieldType.NUMBER:
            scalar = pl.Int64() if field.integer else pl.Float64()
        case FieldType.BOOLEAN:
            scalar = pl.Boolean()
        case FieldType.DATE:
            scalar = pl.Datetime("us", "UTC")
    return pl.List(scalar) if field.array else scalar


def scalar_text(number: int) -> str:
    """Return the digits of an integer beyond ±2^53, as wide as they get, so that texts compare.

    Negative ones sort before all others, and backwards among themselves.
    """
    return f"{'-' if number < 0 else ''}{abs(number):0{_DIGITS}d}"


def _sizes(objects: pl.DataFrame, dimension: int) -> Any:
    texts = [pl.col(n).str.len_bytes() for n, t in objects.schema.items() if t == pl.String]
    lists = [
        pl.col(name).list.eval(pl.element().cast(pl.String).str.len_bytes() + 8).list.sum()
        for name, dtype in objects.schema.items()
        if isinstance(dtype, pl.List)
    ]
    fixed = dimension * 4 + _OVERHEAD + 16 * objects.width
    total = pl.sum_horizontal(*texts, *lists).cast(pl.Int64) + fixed
    return objects.select(total.alias("size"))["size"].to_numpy()


def _reasons(objects: pl.DataFrame, fields: Sequence[IndexField], most_bytes: int) -> pl.Series:
    """Return for each row why it cannot be stored, or null."""
    dimension = objects.schema[VECTOR].shape[0]  # type: ignore[attr-defined]
    reason: Any = pl.when(pl.Series(_sizes(objects, dimension)) > most_bytes).then(
        pl.lit(f"the row is larger than the {most_bytes:,} bytes a request to Weaviate may have")
    )
    for field in fields:
        fits = _fits(field)
        if fits is not None:
            bad, said = fits
            reason = reason.when(bad).then(pl.lit(f"field {field.name}: {said}"))
    vectors = objects[VECTOR].to_numpy()
    finite = np.isfinite(vectors).all(axis=1)
    reason = reason.when(pl.Series(~finite)).then(pl.lit("its vector has NaN or infinity"))
    reason = reason.when(pl.Series(~vectors.any(axis=1))).then(pl.lit("its vector is zero"))
    return objects.select(reason.otherwise(None).alias("reason"))["reason"]


def _fits(field: IndexField) -> tuple[pl.Expr, str] | None:
    """Return an expression that is true where a value cannot be stored, and why."""
    value = pl.element() if field.array else pl.col(field.name)
    match field.type:
        case FieldType.NUMBER if not field.integer:
            bad, said = ~value.is_finite(), "NaN and infinity are no JSON numbers"
        case FieldType.DATE:
            bad, said = ~value.dt.year().is_between(1, 9999), "only years 1 to 9999 can be written"
        case _:
            return None
    whole = pl.col(field.name).list.eval(bad).list.any() if field.array else bad
    return whole.fill_null(False), said


def _property_dicts(
    objects: pl.DataFrame, fields: Sequence[IndexField], later: Sequence[str]
) -> list[dict[str, object]]:
    """Return the properties of each object; what is null is left out, as Weaviate does it."""
    wire = objects.select(
        pl.col(KEY),
        pl.col(SHARD),
        pl.col(ROW_HASH).bin.encode("hex"),
        pl.col(TEXT_HASH).bin.encode("hex"),
        pl.col(INDEXED_AT).dt.strftime(_DATE),
        *(column for field in fields for column in _wire_columns(field)),
        *([WORDS] if WORDS in objects.columns else []),
        _empty_marks(fields).alias(EMPTY),
        *(pl.col(name).cast(pl.Int64 if name == VECTOR_AT else pl.Float64) for name in later),
    )
    names = wire.columns
    columns = [wire[name].to_list() for name in names]
    return [
        {name: value for name, value in zip(names, values, strict=True) if value is not None}
        for values in zip(*columns, strict=True)
    ]


def _wire_columns(field: IndexField) -> list[pl.Expr]:
    column, name = pl.col(field.name), property_name(field.name)
    if field.array:
        # A list in Weaviate has no nulls.
        column = column.list.drop_nulls()
    if has_exact(field):
        return [
            _cut(column, field).alias(name),
            _exact(column, field).alias(exact_name(field.name)),
        ]
    if field.type is FieldType.DATE:
        if field.array:
            return [column.list.eval(pl.element().dt.strftime(_DATE)).alias(name)]
        return [column.dt.strftime(_DATE).alias(name)]
    return [column.alias(name)]


def _cut(column: pl.Expr, field: IndexField) -> pl.Expr:
    return (
        column.list.eval(pl.element().clip(-SAFE, SAFE))
        if field.array
        else column.clip(-SAFE, SAFE)
    )


def _exact(column: pl.Expr, field: IndexField) -> pl.Expr:
    """Return the digits where a double would lose some; of a list all, if of one."""
    if not field.array:
        return pl.when(_beyond(column)).then(_digits(column))
    beyond = column.list.eval(_beyond(pl.element())).list.any()
    return pl.when(beyond).then(column.list.eval(_digits(pl.element())))


def _beyond(column: pl.Expr) -> pl.Expr:
    return (column >= SAFE) | (column <= -SAFE)


def _digits(column: pl.Expr) -> pl.Expr:
    digits = column.cast(pl.String).str.strip_prefix("-").str.pad_start(_DIGITS, "0")
    sign = pl.when(column < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str(sign, digits)


def _empty_marks(fields: Sequence[IndexField]) -> pl.Expr:
    marks = [pl.when(_is_empty(field)).then(pl.lit(property_name(field.name))) for field in fields]
    found = pl.concat_list(marks).list.drop_nulls()
    return pl.when(found.list.len() > 0).then(found)


def _is_empty(field: IndexField) -> pl.Expr:
    column = pl.col(field.name)
    if field.array:
        return column.is_null() | (column.list.drop_nulls().list.len() == 0)
    if polars_type(field) == pl.String:
        return column.is_null() | (column == "")
    return column.is_null()
