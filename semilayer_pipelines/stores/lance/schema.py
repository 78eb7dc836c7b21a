"""How an index looks as a Lance table, and back.

Each mapped field's column carries its `IndexField` in the column's own metadata, so that a table
explains itself: nothing about it is kept elsewhere, and columns can come and go. Only this module
knows which Arrow type stands for what.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.stores.frames import OWN_COLUMNS, check_objects
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    VECTOR,
    WORDS,
    IndexField,
    IndexSchema,
)

__all__ = ["arrow_schema", "arrow_table", "index_schema"]

_TYPE = b"semilayer.type"
_UTC = pa.timestamp("us", "UTC")
_HASH = pa.binary(16)


def arrow_schema(schema: IndexSchema) -> pa.Schema:
    """Return the table's columns: the store's own, then the mapped fields in their order."""
    return pa.schema(
        [
            pa.field(KEY, pa.string(), nullable=False),
            pa.field(SHARD, pa.int32()),
            pa.field(ROW_HASH, _HASH, nullable=False),
            pa.field(TEXT_HASH, _HASH, nullable=False),
            pa.field(INDEXED_AT, _UTC, nullable=False),
            pa.field(VECTOR, pa.list_(pa.float32(), schema.dimension), nullable=False),
            *([pa.field(WORDS, pa.string())] if schema.words else []),
            *(
                pa.field(field.name, _column_type(field), metadata={_TYPE: field.type.encode()})
                for field in schema.fields
            ),
        ]
    )


def index_schema(columns: pa.Schema) -> IndexSchema:
    """Read back what `arrow_schema` wrote.

    Raises `ValueError` without the store's own columns: a manifest of zeros opens as no columns.
    """
    if missing := [name for name in OWN_COLUMNS if name not in columns.names]:
        raise ValueError(f"the table lacks the columns {', '.join(missing)}")
    return IndexSchema(
        fields=tuple(
            _field(column) for column in columns if column.metadata and _TYPE in column.metadata
        ),
        dimension=columns.field(VECTOR).type.list_size,
        words=WORDS in columns.names,
    )


def arrow_table(objects: pl.DataFrame, columns: pa.Schema) -> pa.Table:
    """Turn a frame of objects into rows of the table, columns in the table's order.

    Raises `DimensionChanged` when the vectors have another length than the table's, and
    `ValueError` when columns are missing or unknown, a value does not fit, or a key is there twice.
    """
    check_objects(objects, columns.names, columns.field(VECTOR).type.list_size)
    rows = objects.select(columns.names).to_arrow(compat_level=pl.CompatLevel.oldest())
    return rows.cast(columns)


def _column_type(field: IndexField) -> pa.DataType:
    match field.type:
        case FieldType.TEXT | FieldType.ENUM | FieldType.JSON:
            scalar = pa.string()
        case FieldType.NUMBER:
            scalar = pa.int64() if field.integer else pa.float64()
        case FieldType.BOOLEAN:
            scalar = pa.bool_()
        case FieldType.DATE:
            scalar = _UTC
    return pa.list_(scalar) if field.array else scalar


def _field(column: pa.Field) -> IndexField:
    array = pa.types.is_list(column.type)
    scalar = column.type.value_type if array else column.type
    return IndexField(
        name=column.name,
        type=FieldType(column.metadata[_TYPE].decode()),
        array=array,
        integer=pa.types.is_int64(scalar),
    )
