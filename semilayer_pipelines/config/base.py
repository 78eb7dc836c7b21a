"""What every part of `sl.config.yaml` has in common: camelCase in the file, snake_case here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from semilayer_pipelines.redaction import literal_secret

__all__ = ["STORED", "ConfigModel", "no_secret", "no_truth"]

STORED = {"stored": True}
"""Context for reading what the registry keeps: an older version may have kept a secret there, and
the lens must go on until its file is mended."""


class ConfigModel(BaseModel):
    """A part of the configuration: strict about names, and never changed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel
    )

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any, info: ValidationInfo) -> Any:
        # PostgreSQL would keep it as JSON, and could read nothing of that lens from then on.
        if info.context != STORED and any("\0" in text for text in _texts(value)):
            raise ValueError("holds NUL, which no registry on PostgreSQL can read; leave it out")
        return value


def _texts(value: Any) -> Iterator[str]:
    """Return the texts of a value, but those of other parts, which look at their own."""
    match value:
        case str():
            yield value
        case Mapping():
            for pair in value.items():
                yield from _texts(pair)
        case tuple() | list():
            for one in value:
                yield from _texts(one)


def no_truth(value: Any) -> Any:
    """Return `value`; raises `ValueError` for `true` where a number is wanted.

    Python takes it for 1, and `guard: true` would let a sync delete a whole index.
    """
    if value is True or value is False:
        raise ValueError(f"expected a number; got {str(value).lower()}")
    return value


def no_secret(text: str, info: ValidationInfo) -> str:
    """Return `text`; raises `ValueError` where it holds a secret instead of naming one."""
    found = None if info.context == STORED else literal_secret(text)
    if found:
        raise ValueError(
            f"holds {found}; put it in the environment and write ${{VAR}} in its place, so that "
            "it is never stored (a default, ${VAR:-default}, would be)"
        )
    return text
