"""The JSON Schema of `sl.config.yaml`, with which editors complete and check it.

Generated from the models, and widened by the short forms that their validators take. The committed
`sl.config.schema.json` is this module's output: `python -m semilayer_pipelines.config.schema`.
"""

from __future__ import annotations

import json
from typing import Any

from semilayer_pipelines.config.models import ProjectConfig
from semilayer_pipelines.config.problems import TRANSFORMS

__all__ = ["json_schema", "schema_text"]

_FUNCTION = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
_PERCENT = r"^\s*\d+(\.\d+)?\s*%\s*$"


def json_schema() -> dict[str, Any]:
    """Return the schema of a whole configuration file, keys in camelCase."""
    schema = ProjectConfig.model_json_schema(by_alias=True)
    models = schema["$defs"]
    lens = models["LensConfig"]["properties"]
    field = models["FieldConfig"]["properties"]
    _also(lens, "primaryKey", {"type": "string"})
    _also(lens, "changeTrackingColumn", {"type": "string"})
    _also(lens, "deps", {"type": "string"})
    _also(lens, "owners", {"type": "string"})
    _also(lens, "onMisfit", {"type": "null"})
    _also(lens, "debounce", {"const": 0})
    _also(lens, "guard", {"type": "string", "pattern": _PERCENT})
    _also(lens, "chunking", {"enum": ["auto", "off"]})
    _also(models["JoinConfig"]["properties"], "changeTrackingColumn", {"type": "string"})
    _also(models["ChunkingConfig"]["properties"], "fields", {"type": "string"})
    _also(field, "from", {"type": "string"})
    _also(field, "searchable", {"type": "boolean"})
    field["transform"] = _transform(field["transform"])
    for name, model in models.items():
        model["title"] = name
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "semilayer configuration",
    }


def _also(properties: dict[str, Any], name: str, short: dict[str, Any]) -> None:
    """Let a property have a short form beside the full one."""
    full = properties[name]
    about = {key: full.pop(key) for key in ("title", "description", "default") if key in full}
    forms = full.pop("anyOf", None) or [full]
    properties[name] = {**about, "anyOf": [short, *forms]}


def _transform(full: dict[str, Any]) -> dict[str, Any]:
    named = [
        name
        for name, model in TRANSFORMS.items()
        if all(key == "type" or not f.is_required() for key, f in model.model_fields.items())
    ]
    step = {
        "anyOf": [
            {"enum": named},
            {"type": "string", "pattern": _FUNCTION},
            full.pop("items"),
        ]
    }
    many = {"type": "array", "items": step}
    about = {key: value for key, value in full.items() if key != "type"}
    return {**about, "anyOf": [*step["anyOf"], many]}


def schema_text() -> str:
    """Return the schema as the text of `sl.config.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
