"""The schema is made from the models, and the committed one is current."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from semilayer_pipelines.config.schema import json_schema, schema_text

ROOT = Path(__file__).parents[2]


def test_the_committed_schema_is_current() -> None:
    committed = (ROOT / "sl.config.schema.json").read_text(encoding="utf-8")

    assert committed == schema_text(), "run: python -m semilayer_pipelines.config.schema"


def accepts(schema: dict[str, Any], value: object, root: dict[str, Any]) -> bool:
    """Judge the few forms that the short notations use."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema or "oneOf" in schema:
        forms = schema.get("anyOf") or schema["oneOf"]
        return any(accepts(form, value, root) for form in forms)
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    match schema.get("type"), value:
        case "boolean", bool():
            return True
        case "string", str():
            return re.search(schema.get("pattern", ""), value) is not None
        case (("integer" | "number"), bool()):
            return False
        case (("integer" | "number"), int() | float()):
            return True
        case "array", list():
            return all(accepts(schema["items"], item, root) for item in value)
        case "object", dict():
            known = schema.get("properties", {})
            return set(schema.get("required", ())) <= set(value) and all(
                key in known and accepts(known[key], item, root) for key, item in value.items()
            )
        case _:
            return False


@pytest.mark.parametrize(
    ("model", "key", "value", "accepted"),
    [
        ("FieldConfig", "from", "a", True),
        ("FieldConfig", "from", ["a", "b"], True),
        ("FieldConfig", "searchable", True, True),
        ("FieldConfig", "searchable", {"weight": 3}, True),
        ("FieldConfig", "searchable", {"wieght": 3}, False),
        ("FieldConfig", "transform", "trim", True),
        ("FieldConfig", "transform", "truncate", False),
        ("FieldConfig", "transform", "mine:clean", True),
        ("FieldConfig", "transform", {"type": "truncate", "length": 3}, True),
        ("FieldConfig", "transform", ["trim", {"type": "round"}, "mine:clean"], True),
        ("FieldConfig", "transform", ["trimm"], False),
        ("LensConfig", "primaryKey", "id", True),
        ("LensConfig", "primaryKey", ["a", "b"], True),
        ("LensConfig", "guard", "30%", True),
        ("LensConfig", "guard", 0.3, True),
        ("LensConfig", "guard", "half", False),
        ("LensConfig", "syncInterval", "5m", True),
        ("LensConfig", "syncInterval", "2m", False),
    ],
)
def test_the_schema_takes_the_short_forms_that_the_reader_takes(
    model: str, key: str, value: object, accepted: bool
) -> None:
    schema = json_schema()

    assert accepts(schema["$defs"][model]["properties"][key], value, schema) is accepted


def test_the_schema_speaks_camel_case_and_refuses_unknown_keys() -> None:
    schema = json_schema()

    for name, model in schema["$defs"].items():
        if "properties" in model:
            assert not [key for key in model["properties"] if "_" in key], name
            assert model["additionalProperties"] is False, name
    assert json.loads(schema_text()) == schema
