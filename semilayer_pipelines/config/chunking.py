"""How a text is cut that is longer than the model reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from semilayer_pipelines.config.base import ConfigModel, no_truth

__all__ = ["By", "ChunkingConfig", "written_chunking"]

By = Literal["structure", "paragraph", "sentence"]


class ChunkingConfig(ConfigModel):
    """How long texts are cut into chunks; `auto` or `off` alone stands for its `mode`."""

    mode: Annotated[
        Literal["auto", "off"],
        Field(
            description="`auto` cuts a row whose text exceeds the size, and leaves every other row "
            "whole. `off` cuts nothing: the model reads the beginning of a long text."
        ),
    ] = "auto"
    size: Annotated[
        int | None,
        Field(
            ge=16,
            le=1_000_000,
            description="Most tokens of a chunk, with the fields before it and the model's special "
            "tokens; by default as many as the model reads. An endpoint does not say how many that "
            "is, so there nothing is cut without a size. Its tokens are estimated: one for every "
            "three bytes of UTF-8.",
        ),
    ] = None
    overlap: Annotated[
        int,
        Field(
            ge=0,
            description="How many tokens of the chunk before are repeated at most; whole sentences "
            "or words.",
        ),
    ] = 0
    fields: Annotated[
        tuple[str, ...],
        Field(
            description="Searchable fields that may be cut. The others stand before each chunk. By "
            "default the short fields of a row stand there, a quarter of the size at most, and the "
            "long ones are cut."
        ),
    ] = ()
    by: Annotated[
        By,
        Field(
            description="Where to cut. `structure` fills chunks, and prefers headings to "
            "paragraphs, these to sentences, and these to words. `paragraph` gives each paragraph, "
            "`sentence` each sentence a chunk of its own."
        ),
    ] = "structure"

    _numbers = field_validator("size", "overlap", mode="before")(no_truth)

    @field_validator("fields", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _off_says_nothing_else(self) -> Self:
        if self.mode == "off" and (self.size or self.overlap or self.fields):
            raise ValueError("'mode: off' cuts nothing; remove the other keys, or 'mode'")
        return self

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if self.size is not None and self.overlap * 2 > self.size:
            raise ValueError(
                f"an overlap of {self.overlap} is more than half of the size, {self.size}; "
                f"write 'overlap: {self.size // 8}' or less than {self.size // 2 + 1}"
            )
        return self


def written_chunking(value: Any) -> Any:
    """Return `auto` or `off`, written alone, as a mapping."""
    if value is False:  # what YAML 1.1 reads `off` as
        return {"mode": "off"}
    return {"mode": value} if isinstance(value, str) else value
