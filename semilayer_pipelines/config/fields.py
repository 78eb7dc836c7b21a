"""A field of a lens: where its value comes from, what is done to it, what it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from semilayer_pipelines.config.base import ConfigModel, no_truth
from semilayer_pipelines.config.transforms import Transform, written_step

__all__ = ["FieldConfig", "FieldType", "Merge", "Searchable"]


class FieldType(StrEnum):
    """What a mapped field holds."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    JSON = "json"
    ENUM = "enum"


class Merge(StrEnum):
    """How several source columns become one value."""

    CONCAT = "concat"
    COALESCE = "coalesce"


class Searchable(ConfigModel):
    """A field whose text is embedded; its text is repeated `weight` times."""

    weight: Annotated[int, Field(ge=1, le=10, description="How often the text is repeated.")] = 1

    _numbers = field_validator("weight", mode="before")(no_truth)


class FieldConfig(ConfigModel):
    """One field of a lens: its columns, the steps its value goes through, its type."""

    type: Annotated[FieldType, Field(description="Type of the field's values.")]
    array: Annotated[bool, Field(description="A list of values of that type.")] = False
    values: Annotated[
        tuple[str, ...], Field(description="The allowed values of an `enum`; others fail the row.")
    ] = ()
    from_: Annotated[
        tuple[str, ...],
        Field(
            alias="from",
            validation_alias=AliasChoices("from", "from_"),
            description="Source column, or several with `merge`; the field's own name by default.",
        ),
    ] = ()
    merge: Annotated[
        Merge | None,
        Field(description="`concat` drops nulls and joins; `coalesce` takes the first value."),
    ] = None
    separator: Annotated[str | None, Field(description="Between the parts of `concat`.")] = None
    null_as: Annotated[Any, Field(description="Value in place of a null in the source.")] = None
    undefined_as: Annotated[Any, Field(description="Value when the source has no such column.")] = (
        None
    )
    transform: Annotated[
        tuple[Transform, ...],
        Field(
            description="One step or a list of steps, applied left to right: a name, a mapping, or "
            "`module:function`."
        ),
    ] = ()
    searchable: Annotated[
        Searchable | None,
        Field(
            description="`true` or `{weight: N}`: its text is embedded. Else it is only kept to "
            "filter by."
        ),
    ] = None

    keyword: Annotated[
        Literal[True, False, "exact"],
        Field(
            description="`true`: a search finds its words as they are written. `exact` for names "
            "and codes: a search for the whole value also puts the row first. For `text` and "
            "`enum`."
        ),
    ] = False

    @field_validator("from_", mode="before")
    @classmethod
    def _one_or_many_columns(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("searchable", mode="before")
    @classmethod
    def _true_means_weight_one(cls, value: Any) -> Any:
        return {True: {"weight": 1}, False: None}[value] if isinstance(value, bool) else value

    @field_validator("transform", mode="before")
    @classmethod
    def _one_or_many_steps(cls, value: Any) -> Any:
        steps = value if isinstance(value, list | tuple) else (value,)
        return tuple(written_step(step) for step in steps)

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if len(self.from_) > 1 and self.merge is None:
            raise ValueError("several columns in 'from' need 'merge': concat or coalesce")
        if self.merge is Merge.CONCAT and self.separator is None:
            raise ValueError("merge: concat needs a 'separator'")
        if self.type is FieldType.ENUM and not self.values:
            raise ValueError("type: enum needs 'values', the list of allowed ones")
        if self.values and self.type is not FieldType.ENUM:
            raise ValueError("'values' belongs to type: enum")
        if self.keyword and self.type not in (FieldType.TEXT, FieldType.ENUM):
            raise ValueError(
                f"'keyword' finds words, and a {self.type} has none; find its values by a "
                "condition (`where`), or fill a second field of type text from the same column"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A null that nobody wrote must not come back from the registry as a written one: it would
        # fill columns that the table lacks instead of reporting them.
        written: dict[str, Any] = serialize(self)
        if not self.undefined_is_filled:
            for name in ("undefinedAs", "undefined_as"):
                written.pop(name, None)
        return written

    @property
    def undefined_is_filled(self) -> bool:
        """Say whether `undefinedAs` was given, even as null."""
        return "undefined_as" in self.model_fields_set
