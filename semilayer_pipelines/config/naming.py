"""What sources, lenses, fields and joins may be called."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from semilayer_pipelines.http.contract import LENS_NAME

__all__ = ["FieldName", "Name"]

_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def _name(name: str) -> str:
    if not LENS_NAME.fullmatch(name):
        raise ValueError("a name is letters, digits, - and _, starting with a letter, at most 63")
    return name


def _field_name(name: str) -> str:
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError("a name is letters, digits and _, starting with a letter, at most 63")
    return name


Name = Annotated[str, AfterValidator(_name)]
"""The name of a lens or a source."""

FieldName = Annotated[str, AfterValidator(_field_name)]
"""The name of a field or a join."""
