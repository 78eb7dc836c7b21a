"""A table that a lens joins to its own, whose rows take values from the row that they point to."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_serializer, field_validator

from semilayer_pipelines.config.base import ConfigModel
from semilayer_pipelines.config.naming import FieldName

__all__ = ["JoinConfig", "Joins", "written_names"]


class JoinConfig(ConfigModel):
    """A table of the same source, of which each row of the lens's table has one row or none."""

    table: Annotated[str, Field(min_length=1, description="Table; may be `schema.table`.")]
    on: Annotated[
        dict[str, str],
        Field(
            min_length=1,
            description="Column of the lens's table to the column of this one that has the same "
            "value: `{category_id: id}`. Those of this table are its primary key or another unique "
            "key.",
        ),
    ]
    change_tracking_column: Annotated[
        tuple[str, ...],
        Field(
            description="Column of this table that moves with every change, as it is for the lens "
            "itself. By default `updated_at`, if it is a time like the lens's own column."
        ),
    ] = ()

    @field_validator("change_tracking_column", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else value

    @field_serializer("change_tracking_column")
    def _one_as_written(self, names: tuple[str, ...]) -> str | list[str] | None:
        return written_names(names)


Joins = Annotated[
    dict[FieldName, JoinConfig],
    Field(
        description="Tables that fields take columns from beside the lens's own, by a name: "
        "`from: category.name` is the column `name` of the join `category`."
    ),
]
"""The joins of a lens, by the name under which fields know them."""


def written_names(names: tuple[str, ...]) -> str | list[str] | None:
    """Return names as a file has them: one without a list, none as null."""
    return list(names) if len(names) > 1 else next(iter(names), None)
