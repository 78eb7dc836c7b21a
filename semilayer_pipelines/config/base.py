"""What every part of `sl.config.yaml` has in common: camelCase in the file, snake_case here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo
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
