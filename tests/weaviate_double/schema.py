"""What the real server makes of a class: names, types, defaults, and what may change later."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tests.weaviate_double.rules import Refused

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
_SCALARS = {"text", "int", "number", "boolean", "date"}
_TYPES = _SCALARS | {f"{each}[]" for each in _SCALARS}
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
_ONLY_DESCRIPTIONS = (
    "updating schema: TYPE_UPDATE_CLASS: bad request :parse class update: property fields other "
    "than description cannot be updated through updating the class. Use the add property feature "
    '(e.g. "POST /v1/schema/{className}/properties") to add additional properties'
)


def capital(name: str) -> str:
    """Return a name as the server writes it, which is with a capital first letter."""
    return name[:1].upper() + name[1:]


def is_class_name(name: str) -> bool:
    return bool(_CLASS.fullmatch(name))


def class_with_defaults(
    asked: dict[str, Any],
    classes: Iterable[str] = (),
    aliases: Iterable[str] = (),
    *,
    async_indexing: bool = False,
) -> dict[str, Any]:
    """Return the class as the server keeps it; raise `Refused` for what it does not take."""
    name = capital(asked["class"])
    if not is_class_name(name):
        raise Refused(f"'{name}' is not a valid class name")
    _refuse_taken(name, "class", "class name", classes)
    _refuse_taken(name, "alias", "alias name", aliases)
    vectors = asked.get("vectorConfig", {})
    inverted = asked.get("invertedIndexConfig", {})
    stopwords = {"preset": "en", "additions": None, "removals": None}
    return {
        "class": name,
        "description": asked.get("description", ""),
        "properties": _properties(asked.get("properties", [])),
        "vectorConfig": {n: _vector(n, v, async_indexing) for n, v in vectors.items()},
        "invertedIndexConfig": {
            "bm25": {"b": 0.75, "k1": 1.2},
            "cleanupIntervalSeconds": 60,
        }
        | inverted
        | {"stopwords": stopwords | inverted.get("stopwords", {})},
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


def property_added(config: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Add a property to a class that may hold objects already; return it as the server keeps it."""
    made = _property(asked)
    for each in config["properties"]:
        if each["name"].lower() == made["name"].lower():
            raise Refused(
                f'class "{config["class"]}": conflict for property "{made["name"]}": already in '
                "use or provided multiple times"
            )
    config["properties"].append(made)
    return made


def changed(config: dict[str, Any], asked: dict[str, Any]) -> None:
    """Change a class as far as the server lets it: its descriptions; refuse anything else."""
    if asked["class"] != config["class"]:
        raise Refused(
            f'class name is immutable: attempted change from "{config["class"]}" to '
            f'"{asked["class"]}"'
        )
    kept, wanted = config["properties"], asked["properties"]
    if [_undescribed(each) for each in kept] != [_undescribed(each) for each in wanted]:
        raise Refused(_ONLY_DESCRIPTIONS)
    for each, new in zip(kept, wanted, strict=True):
        each["description"] = new.get("description", "")
    config["description"] = asked.get("description", "")


def _undescribed(each: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in each.items() if name != "description"}


def _refuse_taken(name: str, kind: str, said: str, taken: Iterable[str]) -> None:
    for other in taken:
        if other == name:
            raise Refused(f"{said} {name} already exists")
        if other.lower() == name.lower():
            raise Refused(f'class already exists: found similar {kind} "{other}"')


def _properties(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    taken: set[str] = set()
    for each in asked:
        one = _property(each)
        if one["name"].lower() in taken:
            raise Refused(f"class already has a property named {one['name']!r}")
        taken.add(one["name"].lower())
        made.append(one)
    return made


def _property(asked: dict[str, Any]) -> dict[str, Any]:
    name = asked["name"][:1].lower() + asked["name"][1:]
    if not _PROPERTY.fullmatch(name) or name in _RESERVED or name.endswith(_ENDINGS):
        raise Refused(f"'{name}' is not a valid property name")
    (kind,) = asked["dataType"]
    if kind not in _TYPES:
        raise Refused(
            f"property '{name}': invalid dataType: [{kind}]: unknown primitive data type '{kind}'"
        )
    text = kind.removesuffix("[]") == "text"
    if not text and (asked.get("tokenization") or asked.get("indexSearchable")):
        raise Refused(f"'{name}': tokenization and indexSearchable are allowed for text only")
    filterable = asked.get("indexFilterable")
    searchable = asked.get("indexSearchable")
    return {
        "name": name,
        "dataType": [kind],
        "description": asked.get("description", ""),
        "indexFilterable": True if filterable is None else filterable,
        "indexSearchable": text if searchable is None else searchable,
        "indexRangeFilters": bool(asked.get("indexRangeFilters")),
    } | ({"tokenization": asked.get("tokenization") or "word"} if text else {})


def _vector(name: str, asked: dict[str, Any], async_indexing: bool) -> dict[str, Any]:
    about = f'target vector "{name}": '
    if list(asked["vectorizer"]) != ["none"]:
        raise Refused(f"{about}this server has no vectorizer modules")
    kind = asked.get("vectorIndexType", "hnsw")
    if kind not in ("hnsw", "flat", "dynamic"):
        raise Refused(f'{about}unrecognized or unsupported vectorIndexType "{kind}"')
    if kind == "dynamic" and not async_indexing:
        raise Refused(
            f"{about}the dynamic index can only be created when async indexing is enabled"
        )
    told = asked.get("vectorIndexConfig") or {}
    for quantizer in ("sq", "pq"):
        if kind == "flat" and (told.get(quantizer) or {}).get("enabled"):
            parsing = "parse vector index config: " * 2
            raise Refused(
                f"{about}{parsing}{quantizer.upper()} is not currently supported for flat indices"
            )
    config = (_FLAT if kind == "flat" else _HNSW) | told
    return {
        "vectorizer": {"none": {}},
        "vectorIndexType": kind,
        "vectorIndexConfig": {k: v for k, v in config.items() if k != "skipDefaultQuantization"},
    }
