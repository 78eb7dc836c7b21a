"""What an index can hold, beside what the mapping of its lens gives now.

A store fixes the type of each field when an index is made. When a column of the source gets another
type afterwards, its values may need another field. Only a rebuild makes one, so this is asked
before anything is written.
"""

from __future__ import annotations

import polars as pl

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import FieldsChanged
from semilayer_pipelines.mapping.mapped import LensMapping
from semilayer_pipelines.stores.protocol import IndexField, IndexSchema

__all__ = ["as_stored", "require_held", "unheld"]


def unheld(mapping: LensMapping, stored: IndexSchema) -> list[str]:
    """Return why an index cannot hold what a mapping gives, a sentence for each field.

    A field that is stored for numbers with fractions takes whole numbers as well.
    """
    fields, wanted = {field.name: field for field in stored.fields}, mapping.fields
    reasons = [
        f"Field {field.name!r} gives {_kind(field)} now, and the index has no such field."
        if (held := fields.get(field.name)) is None
        else f"Field {field.name!r} gives {_kind(field)} now, the index holds {_kind(held)}."
        for field in wanted
        if not _holds(fields.get(field.name), field)
    ]
    left = fields.keys() - {field.name for field in wanted}
    reasons += [f"The index has a field {name!r}, the lens has not." for name in sorted(left)]
    if mapping.has_keywords and not stored.words:
        reasons.append("The lens has fields with 'keyword', the index was made without keywords.")
    if stored.words and not mapping.has_keywords:
        reasons.append("The index has keywords, and no field of the lens has 'keyword'.")
    return reasons


def require_held(mapping: LensMapping, stored: IndexSchema, *, lens: str) -> None:
    """Raise `FieldsChanged` when an index cannot hold what a mapping gives."""
    reasons = unheld(mapping, stored)
    if reasons:
        raise FieldsChanged(
            " ".join(reasons),
            cure=f"It needs a rebuild: `semilayer resume --lens {lens}`. Until then searches find "
            "what is indexed.",
            lens=lens,
        )


def as_stored(objects: pl.DataFrame, stored: IndexSchema) -> pl.DataFrame:
    """Return objects with whole numbers as the numbers with fractions that the index holds."""
    doubles = {field.name for field in stored.fields if _is_double(field)} & {*objects.columns}
    wide = [name for name in doubles if objects.schema[name].is_integer()]
    return objects.with_columns(pl.col(wide).cast(pl.Float64)) if wide else objects


def _holds(held: IndexField | None, given: IndexField) -> bool:
    return held == given or (
        held is not None
        and _is_double(held)
        and (given.type, given.array) == (FieldType.NUMBER, False)
    )


def _is_double(field: IndexField) -> bool:
    return field.type is FieldType.NUMBER and not field.integer and not field.array


def _kind(field: IndexField) -> str:
    if field.type is not FieldType.NUMBER:
        return f"a list of {field.type.value}" if field.array else field.type.value
    numbers = "whole numbers" if field.integer else "numbers with fractions"
    return f"lists of {numbers}" if field.array else numbers
