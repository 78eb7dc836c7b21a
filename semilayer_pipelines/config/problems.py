"""Pydantic's errors as sentences for people.

A sentence says what was expected and what is there, and offers the nearest valid name. It never
shows the value of a key that can hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from semilayer_pipelines.config.alerts import AlertConfig
from semilayer_pipelines.config.chunking import ChunkingConfig
from semilayer_pipelines.config.embedding import EmbeddingConfig
from semilayer_pipelines.config.fields import FieldConfig, Searchable
from semilayer_pipelines.config.joins import JoinConfig
from semilayer_pipelines.config.models import LensConfig, ProjectConfig, SourceConfig
from semilayer_pipelines.config.prompts import PromptsConfig, RequestConfig
from semilayer_pipelines.config.transforms import Transform
from semilayer_pipelines.errors import nearest

__all__ = ["TRANSFORMS", "path_of", "sentence"]

_SECRET = {"connection", "apiKey", "api_key", "url", "request"}
_NAMED = re.compile(r"'([^']*)'|True|False")
_SHOWN = 40

TRANSFORMS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(Transform)[0])
}
"""Every transform's model by its name."""


def path_of(error: ErrorDetails) -> tuple[str | int, ...]:
    """Return the path of the key that is wrong; Pydantic puts a word behind a name that is."""
    found = error["loc"]
    return found[:-1] if found[-1:] == ("[key]",) else found


def sentence(error: ErrorDetails) -> str:
    """Return what is wrong, for the key the error's location names."""
    location = error["loc"]
    match error["type"]:
        case "extra_forbidden":
            known = _keys_at(location[:-1])
            name = str(location[-1])
            return f"unknown key{nearest(name, known)}; there are {', '.join(known)}"
        case "missing":
            return "this key is required"
        case "enum" | "literal_error":
            return _one_of(_named(error["ctx"]["expected"]), error["input"])
        case "union_tag_invalid":
            return _one_of(list(TRANSFORMS), error["ctx"]["tag"])
        case "union_tag_not_found":
            return "a transform needs a 'type'"
        case "value_error":
            return error["msg"].removeprefix("Value error, ")
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"expected a mapping of keys{_got(location, error['input'])}"
        case "tuple_type":
            return f"expected a list{_got(location, error['input'])}"
        case "bool_type" | "bool_parsing":
            return f"expected true or false{_got(location, error['input'])}"
        case "int_type" | "int_parsing" | "int_parsing_size" | "int_from_float":
            return f"expected a whole number{_got(location, error['input'])}"
        case "float_type" | "float_parsing":
            return f"expected a number{_got(location, error['input'])}"
        case "string_too_short":
            return "expected a string that is not empty"
        case "too_short":
            return "expected one entry or more; there is none"
        case "string_pattern_mismatch" if location[-1] in _SECRET:
            return "expected the name of an environment variable, ${NAME}, and no value"
        case "string_pattern_mismatch" if location[-1] in ("freshness", "fullWalkEvery"):
            return f"expected a time such as 10m, 2h or 1d{_got(location, error['input'])}"
        case "string_pattern_mismatch" if location[-1] == "debounce":
            return f"expected 0, or a time such as 500ms or 2s{_got(location, error['input'])}"
        case "string_pattern_mismatch" if location[-1] == "maxSlotBytes":
            return f"expected a size such as 500MB or 5GB{_got(location, error['input'])}"
        case "string_pattern_mismatch" if location[-1] == "group":
            return (
                f"expected letters, digits and _, parts joined by /{_got(location, error['input'])}"
            )
        case "string_pattern_mismatch" if location[-1] == "function":
            return f"expected module:function{_got(location, error['input'])}"
        case _:
            expected = error["msg"].replace("Input should be a valid", "expected a")
            expected = expected.replace("Input should", "the value should")
            return f"{expected[:1].lower()}{expected[1:]}{_got(location, error['input'])}"


def _named(expected: str) -> list[str]:
    return [found[1] or found[0].lower() for found in _NAMED.finditer(expected)]


def _one_of(known: list[str], given: object) -> str:
    hint = nearest(str(given), known)
    expected = f"one of {', '.join(known)}" if len(known) > 1 else known[0]
    return f"expected {expected}; got {_shown(given)}{hint}"


def _got(location: Sequence[str | int], given: object) -> str:
    return "" if _SECRET.intersection(map(str, location)) else f"; got {_shown(given)}"


def _shown(given: object) -> str:
    match given:
        case None:
            return "nothing"
        case bool():
            return "true" if given else "false"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            text = repr(given)
            return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _keys_at(location: Sequence[str | int]) -> list[str]:
    model = _model_at(tuple(location))
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(location: tuple[str | int, ...]) -> type[BaseModel]:
    match location:
        case ("alerts", _):
            return AlertConfig
        case ("sources", _):
            return SourceConfig
        case ("lenses", _):
            return LensConfig
        case ("lenses", _, "embedding"):
            return EmbeddingConfig
        case ("lenses", _, "embedding", "prompts"):
            return PromptsConfig
        case ("lenses", _, "embedding", "request"):
            return RequestConfig
        case ("lenses", _, "chunking"):
            return ChunkingConfig
        case ("lenses", _, "joins", _):
            return JoinConfig
        case ("lenses", _, "fields", _):
            return FieldConfig
        case ("lenses", _, "fields", _, "searchable"):
            return Searchable
        case ("lenses", _, "fields", _, "transform", int(), str(name)):
            return TRANSFORMS[name]
        case _:
            return ProjectConfig
