"""`/openapi.json`, made from the table of operations and the models they take and give."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from semilayer_pipelines import __version__
from webhook.operations import KEYED, OPEN, Keyed, Open
from webhook.service.problems import Code
from webhook.service.responses import Error, Readiness

__all__ = ["PATH", "openapi"]

PATH = "/openapi.json"

_REF = "#/components/schemas/{model}"
_EVERY_KEYED = (Code.UNAUTHORIZED, Code.FORBIDDEN, Code.INTERNAL, Code.UNAVAILABLE)
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "ik_ keys only trigger ingest, qk_ keys only search; sk_ keys do everything in "
    "their environment.",
}
_PARAMETERS = {
    "lens": "The lens's name, which is its key in sl.config.yaml.",
    "id": "The job's id.",
}
_HEADERS = {
    "X-RateLimit-Limit": "Calls that the lens takes in 60 seconds; absent without a limit.",
    "X-RateLimit-Remaining": "Calls that are left of them.",
}


def openapi() -> dict[str, Any]:
    """Return the whole document, OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for keyed in KEYED:
        paths.setdefault(keyed.path, {})[keyed.method.lower()] = _keyed(keyed)
    for one in OPEN:
        paths.setdefault(one.path, {})[one.method.lower()] = _open(one)
    paths[PATH] = {"get": _itself()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "semilayer-pipelines",
            "version": __version__,
            "description": "Changes in, indexed within seconds; and how it stands.",
        },
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": {"key": _BEARER}},
    }


def _keyed(one: Keyed) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": one.summary,
        "description": f"For keys of type {' or '.join(one.kinds)}.",
        "operationId": one.handle.__name__,
        "security": [{"key": []}],
        "parameters": [*_in_path(one.path), *_in_query(one.query)],
        "responses": {
            str(one.status): _content("Done.", one.response),
            **_problems((*one.codes, *_EVERY_KEYED)),
        },
    }
    if one.body is not None:
        needed = any(field.is_required() for field in one.body.model_fields.values())
        told["requestBody"] = {"required": needed, "content": _json(one.body)}
    if Code.RATE_LIMITED in one.codes:
        for status in (str(one.status), "429"):
            told["responses"][status].setdefault("headers", {}).update(
                {name: _header(meaning) for name, meaning in _HEADERS.items()}
            )
    return told


def _open(one: Open) -> dict[str, Any]:
    responses = {str(one.status): _content("Done.", one.response), **_problems((Code.INTERNAL,))}
    if one.response is Readiness:
        responses["503"] = _content("Not ready.", Readiness)
    return {"summary": one.summary, "operationId": one.handle.__name__, "responses": responses}


def _itself() -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    done = {"description": "Done.", "content": content}
    return {"summary": "This document", "operationId": "document", "responses": {"200": done}}


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": meaning,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, meaning in _PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _in_query(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    properties = model.model_json_schema(by_alias=True)["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]


def _problems(codes: Iterable[Code]) -> dict[str, Any]:
    words: dict[int, list[str]] = {}
    for code in codes:
        words.setdefault(code.status, []).append(f"`{code.word}`")
    found = {str(s): _content(", ".join(w), Error) for s, w in sorted(words.items())}
    for status in ("429", "503"):
        if status in found:
            found[status]["headers"] = {"Retry-After": _header("Seconds to wait.")}
    return found


def _content(description: str, model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        text = {"text/plain": {"schema": {"type": "string"}}}
        return {"description": description, "content": text}
    return {"description": description, "content": _json(model)}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _header(meaning: str) -> dict[str, Any]:
    return {"description": meaning, "schema": {"type": "integer"}}


def _schemas() -> dict[str, Any]:
    taken = {one.body.__name__: one.body for one in KEYED if one.body}
    given = {one.response.__name__: one.response for one in (*KEYED, *OPEN) if one.response}
    given["Error"] = Error
    _, schemas = models_json_schema(
        [(model, "validation") for model in taken.values()]
        + [(model, "serialization") for model in given.values()],
        ref_template=_REF,
    )
    found: dict[str, Any] = schemas["$defs"]
    # Left out of the response for other modes than `records`.
    found["IngestResponse"]["required"] = ["jobId", "status"]
    # Ids are checked closer than the model says, and `cure` is left out when there is none.
    found["ErrorBody"]["required"] = ["code", "message"]
    return found
