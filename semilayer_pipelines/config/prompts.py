"""What goes along with a text to a model: prompts, and further fields of a request.

Many models are trained with one prompt for questions and another for the passages that answer them.
Each side may be set by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from semilayer_pipelines.config.base import STORED, ConfigModel, no_secret
from semilayer_pipelines.redaction import is_secret_name

__all__ = ["MAX_PROMPT_CHARACTERS", "OUR_FIELDS", "PromptsConfig", "RequestConfig"]

MAX_PROMPT_CHARACTERS = 2_000
"""Characters of the longest prompt: it is read again with every text."""

OUR_FIELDS = ("input", "model", "dimensions", "encoding_format")
"""Fields of a request that other settings decide."""

_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


class PromptsConfig(ConfigModel):
    """The texts that a model reads in front of others; an empty one is none."""

    query: Annotated[
        str | None,
        Field(
            max_length=MAX_PROMPT_CHARACTERS,
            description="In front of what somebody searches by; by default the model's own.",
        ),
    ] = None
    passage: Annotated[
        str | None,
        Field(
            max_length=MAX_PROMPT_CHARACTERS,
            description="In front of the text of each row; by default the model's own. Changing "
            "it needs a rebuild.",
        ),
    ] = None


class RequestConfig(ConfigModel):
    """Further fields of the body of a request to an endpoint, such as `input_type`."""

    query: Annotated[
        dict[str, JsonValue],
        Field(
            default_factory=dict,
            description="With what somebody searches by, such as `{input_type: query}`.",
        ),
    ]
    passage: Annotated[
        dict[str, JsonValue],
        Field(
            default_factory=dict,
            description="With the texts of rows, such as `{input_type: document}`. Changing it "
            "needs a rebuild.",
        ),
    ]

    def __hash__(self) -> int:
        """Let what holds it be a key; mappings have no hash of their own."""
        return hash(json.dumps([self.query, self.passage], sort_keys=True))

    @field_validator("query", "passage")
    @classmethod
    def _fields_that_may_be_sent(
        cls, fields: dict[str, JsonValue], info: ValidationInfo
    ) -> dict[str, JsonValue]:
        for name in fields:
            if name in OUR_FIELDS:
                raise ValueError(
                    f"{name!r} is sent already; other settings decide it "
                    "('model', 'dimensions' and the texts themselves)"
                )
        for name, text in _texts(fields):
            no_secret(text, info)
            if is_secret_name(name) and not _is_named(text) and info.context != STORED:
                raise ValueError(
                    f"holds a value for {name!r}; put it in the environment and write ${{VAR}} in "
                    "its place, so that it is never stored"
                )
        try:
            json.dumps(fields, allow_nan=False)
        except ValueError:
            raise ValueError("holds a number that JSON cannot: .inf or .nan") from None
        return fields


def _is_named(text: str) -> bool:
    """Say whether a text names its secret, and brings none along as a default."""
    rest, references = _REFERENCE.subn("", text)
    return bool(references) and "${" not in rest


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in the fields, with the name of the field that holds it."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _texts(item, key)
        case list():
            for item in value:
                yield from _texts(item, name)
        case str():
            yield name, value
