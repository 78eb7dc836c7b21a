"""The steps that a field's value can go through, as the configuration writes them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from semilayer_pipelines.config.base import ConfigModel, no_truth

__all__ = [
    "Custom",
    "Default",
    "EpochUnit",
    "HtmlToText",
    "Join",
    "JsonToText",
    "Lowercase",
    "Replace",
    "Round",
    "Split",
    "ToBoolean",
    "ToDate",
    "ToNumber",
    "ToString",
    "Transform",
    "Trim",
    "Truncate",
    "Uppercase",
    "written_step",
]


class ToString(ConfigModel):
    """Text of the value; null becomes an empty text."""

    type: Literal["toString"]


class ToNumber(ConfigModel):
    """Number read from a text; a row with another text is set aside."""

    type: Literal["toNumber"]


class ToBoolean(ConfigModel):
    """True for `true`, `1` and `yes` in any case, false for everything else."""

    type: Literal["toBoolean"]


EpochUnit = Literal["seconds", "milliseconds", "microseconds", "nanoseconds"]
"""What a number counts that stands for a time, from 1970 on in UTC."""


class ToDate(ConfigModel):
    """Date read from ISO 8601 text or a number; anything else becomes null.

    `unit` says what a number counts since 1970: `seconds`, `milliseconds`, `microseconds` or
    `nanoseconds`. With it, texts of numbers are read too.
    """

    type: Literal["toDate"]
    unit: Annotated[EpochUnit | None, Field(description="What a number counts since 1970.")] = None


class Round(ConfigModel):
    """Rounded number; `round` rounds halves to even."""

    type: Literal["round"]
    decimals: Annotated[int, Field(ge=0, le=15, description="Digits after the point.")] = 0
    mode: Annotated[
        Literal["round", "ceil", "floor"], Field(description="Up, down or to the nearest.")
    ] = "round"

    _numbers = field_validator("decimals", mode="before")(no_truth)


class Trim(ConfigModel):
    """Text without white space at its ends; null becomes an empty text."""

    type: Literal["trim"]


class Lowercase(ConfigModel):
    """Text in lower case; null becomes an empty text."""

    type: Literal["lowercase"]


class Uppercase(ConfigModel):
    """Text in upper case; null becomes an empty text."""

    type: Literal["uppercase"]


class HtmlToText(ConfigModel):
    """What a browser shows of HTML, without scripts, styles and tags.

    Paragraphs, list items and table rows have lines of their own. A text without tags and entities
    stays as it is.
    """

    type: Literal["htmlToText"]


class JsonToText(ConfigModel):
    """A line `key.key: value` for each value in JSON.

    Nulls and empty values leave no line, and a list of plain values has one. A text that is no JSON
    stays as it is.
    """

    type: Literal["jsonToText"]


class Truncate(ConfigModel):
    """The first `length` characters."""

    type: Literal["truncate"]
    length: Annotated[int, Field(gt=0, description="How many characters stay.")]

    _numbers = field_validator("length", mode="before")(no_truth)


class Replace(ConfigModel):
    """Every match of a regular expression replaced (`$1` inserts a group)."""

    type: Literal["replace"]
    pattern: str
    replacement: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Split(ConfigModel):
    """Text split into a list."""

    type: Literal["split"]
    separator: Annotated[str, Field(min_length=1)]


class Join(ConfigModel):
    """List joined into a text."""

    type: Literal["join"]
    separator: str


class Default(ConfigModel):
    """The given value in place of null."""

    type: Literal["default"]
    value: Any


class Custom(ConfigModel):
    """A Python callable over a Polars Series, written `module:function`.

    It gets the field's values of one page and returns a Series of the same length. Imported from
    the project's folder.
    """

    type: Literal["custom"]
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


Transform = Annotated[
    ToString
    | ToNumber
    | ToBoolean
    | ToDate
    | Round
    | Trim
    | Lowercase
    | Uppercase
    | HtmlToText
    | JsonToText
    | Truncate
    | Replace
    | Split
    | Join
    | Default
    | Custom,
    Field(discriminator="type"),
]


def written_step(step: Any) -> Any:
    """Return a step written as a name, or as `module:function`, as a mapping."""
    if isinstance(step, str):
        return {"type": "custom", "function": step} if ":" in step else {"type": step}
    return step
