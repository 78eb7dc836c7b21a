"""What the real server refuses: names, types and values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

_CLASS = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
_PROPERTY = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,230}")
_RESERVED = {"id", "_id", "_additional"}
_ENDINGS = (
    "_searchable",
    "_rangeable",
    "_temp",
    "__meta_count",
    "_propertyLength",
    "_nullState",
)
_TYPES = {
    "text",
    "text[]",
    "int",
    "int[]",
    "number",
    "number[]",
    "boolean",
    "boolean[]",
    "date",
    "date[]",
}
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_HNSW = {
    "distance": "cosine",
    "maxConnections": 32,
    "efConstruction": 128,
    "ef": -1,
    "dynamicEfMin": 100,
    "dynamicEfMax": 500,
    "dynamicEfFactor": 8,
    "vectorCacheMaxObjects": 1_000_000_000_000,
    "flatSearchCutoff": 40_000,
    "cleanupIntervalSeconds": 300,
    "filterStrategy": "acorn",
    "skip": False,
}
_FLAT = {"distance": "cosine", "vectorCacheMaxObjects": 1_000_000_000_000}


class Refused(Exception):
    """A request is not acceptable; the text is what the server would say."""


def class_with_defaults(asked: dict[str, Any], taken: Iterable[str]) -> dict[str, Any]:
    """Return the class as the server keeps it; raise `Refused` for what it does not take."""
    name = asked["class"][:1].upper() + asked["class"][1:]
    if not _CLASS.fullmatch(name):
        raise Refused(f"'{name}' is not a valid class name")
    for other in taken:
        if other.lower() == name.lower():
            raise Refused(f'class name "{name}" already exists as "{other}"')
    return {
        "class": name,
        "description": asked.get("description", ""),
        "properties": _properties(asked.get("properties", [])),
        "vectorConfig": {n: _vector(v) for n, v in asked.get("vectorConfig", {}).items()},
        "invertedIndexConfig": {
            "bm25": {"b": 0.75, "k1": 1.2},
            "cleanupIntervalSeconds": 60,
            "stopwords": {"preset": "en", "additions": None, "removals": None},
        }
        | asked.get("invertedIndexConfig", {}),
        "multiTenancyConfig": {
            "enabled": False,
            "autoTenantCreation": False,
            "autoTenantActivation": False,
        }
        | (asked.get("multiTenancyConfig") or {}),
        "replicationConfig": {"factor": 1, "asyncEnabled": False}
        | asked.get("replicationConfig", {}),
        "shardingConfig": {
            "virtualPerPhysical": 128,
            "desiredCount": 1,
            "actualCount": 1,
            "desiredVirtualCount": 128,
            "actualVirtualCount": 128,
            "key": "_id",
            "strategy": "hash",
            "function": "murmur3",
        },
    }


def checked_tenant(name: str) -> str:
    """Return the name of a tenant; raise `Refused` for what the server does not take for one."""
    if not _TENANT.fullmatch(name):
        raise Refused(
            f"tenant name {name!r} should only contain alphanumeric characters (a-z, A-Z, 0-9), "
            "underscore (_), and hyphen (-), with a length between 1 and 64 characters"
        )
    return name


def _properties(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    taken: set[str] = set()
    for each in asked:
        name = each["name"][:1].lower() + each["name"][1:]
        if not _PROPERTY.fullmatch(name) or name in _RESERVED or name.endswith(_ENDINGS):
            raise Refused(f"'{name}' is not a valid property name")
        if name.lower() in taken:
            raise Refused(f"class already has a property named {name!r}")
        taken.add(name.lower())
        (kind,) = each["dataType"]
        if kind not in _TYPES:
            raise Refused(f"property '{name}': invalid dataType: {kind}")
        text = kind.removesuffix("[]") == "text"
        if not text and (each.get("tokenization") or each.get("indexSearchable")):
            raise Refused(f"'{name}': tokenization and indexSearchable are allowed for text only")
        filterable = each.get("indexFilterable")
        made.append(
            {
                "name": name,
                "dataType": [kind],
                "description": each.get("description", ""),
                "indexFilterable": True if filterable is None else filterable,
                "indexSearchable": bool(each.get("indexSearchable", text)),
                "indexRangeFilters": bool(each.get("indexRangeFilters")),
            }
            | ({"tokenization": each.get("tokenization") or "word"} if text else {})
        )
    return made


def _vector(asked: dict[str, Any]) -> dict[str, Any]:
    if list(asked["vectorizer"]) != ["none"]:
        raise Refused("this server has no vectorizer modules")
    kind = asked.get("vectorIndexType", "hnsw")
    if kind not in ("hnsw", "flat", "dynamic"):
        raise Refused(f"unrecognized or unsupported vectorIndexType {kind!r}")
    told = asked.get("vectorIndexConfig") or {}
    config = (_FLAT if kind == "flat" else _HNSW) | told
    return {
        "vectorizer": {"none": {}},
        "vectorIndexType": kind,
        "vectorIndexConfig": {k: v for k, v in config.items() if k != "skipDefaultQuantization"},
    }


def checked(kind: str, name: str, class_name: str, value: Any) -> Any:
    """Return a value as the server stores it; raise `Refused` when its type is another."""
    word = {"text": "text", "int": "integer", "number": "number", "boolean": "boolean"}
    scalar = kind.removesuffix("[]")
    about = f"invalid {word.get(scalar, scalar)}{' array' if kind != scalar else ''} property"
    about += f" '{name}' on class '{class_name}'"
    if kind == scalar:
        return _scalar(scalar, about, value)
    if not isinstance(value, list):
        raise Refused(f"{about}: not an array, but {type(value).__name__}")
    return [_scalar(scalar, about, item) for item in value]


def _scalar(kind: str, about: str, value: Any) -> Any:
    match kind, value:
        case "text", str():
            return value
        case "boolean", bool():
            return value
        case "number", float() if abs(value) < float("inf"):
            return value
        case "int", float() if value == int(value):
            # As the server does it: an integer has gone through a double before it gets here.
            return int(value)
        case "date", str() if _RFC3339.fullmatch(value):
            return value
    raise Refused(f"{about}: got {value!r}")


def moment(text: str) -> datetime:
    """Return the time that an RFC 3339 text says, to the microsecond."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
