"""How an index looks as a Weaviate collection, and back.

A collection explains itself: its description says which index it is and how long its vectors are,
and the description of each property which field it holds. Only this module knows which of
Weaviate's types stands for what.

Integers travel as doubles, so an integer is kept twice where it must be: the property holds it cut
off at ±2^53, which orders and compares rightly within, and a text beside it the digits of whatever
lies beyond. Whether a field is empty (null, an empty text, an empty list) is kept as well, because
what a server indexes of those is its own affair.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from weaviate.classes.config import (
    Configure,
    DataType,
    Property,
    StopwordsPreset,
    Tokenization,
    VectorDistances,
)
from weaviate.collections.classes.config import _CollectionConfigSimple

from semilayer_pipelines.config.fields import FieldType
from semilayer_pipelines.errors import ConfigError
from semilayer_pipelines.stores.protocol import (
    INDEXED_AT,
    KEY,
    ROW_HASH,
    SHARD,
    TEXT_HASH,
    WORDS,
    IndexField,
    IndexSchema,
)
from semilayer_pipelines.stores.weaviate.names import exact_name, property_name
from semilayer_pipelines.stores.weaviate.settings import Distance, IndexType, WeaviateSettings

__all__ = [
    "CHECKS",
    "EMPTY",
    "LATER",
    "SAFE",
    "VECTOR_AT",
    "VECTOR_NAME",
    "Owner",
    "Stage",
    "collection_parts",
    "distance_of",
    "has_exact",
    "index_schema",
    "is_compressed",
    "later_properties",
    "owner_of",
]

VECTOR_NAME = "default"
EMPTY = "_empty"  # text[]: the properties that hold nothing
VECTOR_AT = "_vector_at"  # int, µs since 1970: when the object's vector was put into the index
CHECKS = ("_check_a", "_check_b", "_check_c")
"""Small numbers that follow from key and hashes (see `checks`): the server adds them up."""

LATER = (VECTOR_AT, *CHECKS)
"""Properties that collections of before version 0.3 get with the next write."""

SAFE = 2**53
"""Integers below this, either sign, are exact in a double; the bound marks what is beyond."""

_FORMAT = 1
_SCALARS = {
    FieldType.TEXT: DataType.TEXT,
    FieldType.ENUM: DataType.TEXT,
    FieldType.JSON: DataType.TEXT,
    FieldType.NUMBER: DataType.NUMBER,
    FieldType.BOOLEAN: DataType.BOOL,
    FieldType.DATE: DataType.DATE,
}
_ARRAYS = {
    DataType.TEXT: DataType.TEXT_ARRAY,
    DataType.NUMBER: DataType.NUMBER_ARRAY,
    DataType.INT: DataType.INT_ARRAY,
    DataType.BOOL: DataType.BOOL_ARRAY,
    DataType.DATE: DataType.DATE_ARRAY,
}


@dataclass(frozen=True)
class Stage:
    """One environment of one project."""

    project: str
    prefix: str
    env: str


@dataclass(frozen=True)
class Owner:
    """Which index of which environment a collection is."""

    stage: Stage
    index: str


def collection_parts(
    owner: Owner, schema: IndexSchema, settings: WeaviateSettings
) -> dict[str, Any]:
    """Return the arguments of `collections.create`, but for the name.

    Raises `ConfigError` when two fields would be one to Weaviate.
    """
    own = [*_own_properties(), *([_words()] if schema.words else [])]
    properties = [*own, *(p for f in schema.fields for p in _field_properties(f))]
    taken: set[str] = set()
    for each in properties:
        if each.name.lower() in taken:
            raise ConfigError(
                f"Weaviate cannot tell two fields apart that differ only in case: {each.name}.",
                cure="Rename one of them.",
            )
        taken.add(each.name.lower())
    return {
        "description": json.dumps(
            {
                "semilayer": _FORMAT,
                "project": owner.stage.project,
                "prefix": owner.stage.prefix,
                "env": owner.stage.env,
                "index": owner.index,
                "dimension": schema.dimension,
                "distance": settings.distance.value,
                "tenant": schema.tenant,
            }
        ),
        "multi_tenancy_config": (
            Configure.multi_tenancy(
                enabled=True, auto_tenant_creation=True, auto_tenant_activation=True
            )
            if schema.tenant
            else None
        ),
        "properties": properties,
        "inverted_index_config": Configure.inverted_index(stopwords_preset=StopwordsPreset.NONE),
        "vector_config": Configure.Vectors.self_provided(
            name=VECTOR_NAME, vector_index_config=_vector_index(settings)
        ),
        "replication_config": (
            Configure.replication(factor=settings.replication) if settings.replication else None
        ),
    }


def owner_of(config: _CollectionConfigSimple) -> Owner | None:
    """Return which index a collection is; `None` for one that is not ours."""
    said = _said(config.description)
    if said.get("semilayer") != _FORMAT:
        return None
    stage = Stage(str(said["project"]), str(said["prefix"]), str(said["env"]))
    return Owner(stage, str(said["index"]))


def index_schema(config: _CollectionConfigSimple) -> IndexSchema:
    """Read back what `collection_parts` wrote."""
    fields = [_field(_said(each.description)) for each in config.properties]
    said = _said(config.description)
    dimension, tenant = said["dimension"], said.get("tenant")
    assert isinstance(dimension, int)
    return IndexSchema(
        tuple(field for field in fields if field is not None),
        dimension,
        None if tenant is None else str(tenant),
        words=any(each.name == WORDS for each in config.properties),
    )


def distance_of(config: _CollectionConfigSimple) -> Distance:
    """Return how a collection compares vectors, whatever the settings say by now."""
    return Distance(str(_said(config.description)["distance"]))


def is_compressed(config: _CollectionConfigSimple) -> bool:
    """Say whether a collection's index keeps its vectors in a shorter form."""
    assert config.vector_config is not None
    index = config.vector_config[VECTOR_NAME].vector_index_config
    kinds = [index, getattr(index, "hnsw", None), getattr(index, "flat", None)]
    return any(getattr(kind, "quantizer", None) is not None for kind in kinds)


def has_exact(field: IndexField) -> bool:
    """Say whether a field's integers have a text beside them for those beyond ±2^53."""
    return field.type is FieldType.NUMBER and field.integer


def _own_properties() -> list[Property]:
    # Never filtered by: an object is found by its id, which follows from the key.
    return [
        *(_text(name, filterable=False) for name in (KEY, ROW_HASH, TEXT_HASH)),
        Property(name=SHARD, data_type=DataType.INT, index_filterable=False),
        Property(name=INDEXED_AT, data_type=DataType.DATE, index_filterable=False),
        _text(EMPTY, array=True),
        *later_properties(),
    ]


def _words() -> Property:
    """Return the property that keyword search looks at: tokens of ours, split at blanks."""
    return Property(
        name=WORDS,
        data_type=DataType.TEXT,
        tokenization=Tokenization.WHITESPACE,
        index_filterable=False,
        index_searchable=True,
    )


def later_properties() -> list[Property]:
    """Return the declarations of `LATER`; the server sums what it keeps an index of."""
    return [
        Property(name=VECTOR_AT, data_type=DataType.INT, index_filterable=False),
        *(Property(name=name, data_type=DataType.NUMBER) for name in CHECKS),
    ]


def _field_properties(field: IndexField) -> list[Property]:
    name = property_name(field.name)
    said = json.dumps(
        {
            "field": field.name,
            "type": field.type.value,
            "array": field.array,
            "integer": field.integer,
        }
    )
    scalar = DataType.INT if has_exact(field) else _SCALARS[field.type]
    if scalar is DataType.TEXT:
        return [_text(name, array=field.array, description=said)]
    kind = _ARRAYS[scalar] if field.array else scalar
    typed = Property(name=name, data_type=kind, description=said, index_filterable=True)
    return (
        [typed, _text(exact_name(field.name), array=field.array)] if has_exact(field) else [typed]
    )


def _text(
    name: str, *, array: bool = False, filterable: bool = True, description: str | None = None
) -> Property:
    return Property(
        name=name,
        data_type=DataType.TEXT_ARRAY if array else DataType.TEXT,
        description=description,
        # The value as one token, case and all; `word`, the default, would make "A-1" equal "a 1".
        tokenization=Tokenization.FIELD,
        index_filterable=filterable,
        index_searchable=False,
    )


def _vector_index(settings: WeaviateSettings) -> Any:
    """Return the index configuration; always explicit, as a server's defaults differ."""
    distance = VectorDistances(settings.distance.value)
    quantizer = getattr(Configure.VectorIndex.Quantizer, settings.quantization.value)()
    hnsw = Configure.VectorIndex.hnsw(distance_metric=distance, quantizer=quantizer)
    match settings.index:
        case IndexType.HNSW:
            return hnsw
        case IndexType.FLAT:
            return Configure.VectorIndex.flat(distance_metric=distance, quantizer=quantizer)
        case IndexType.DYNAMIC:
            return Configure.VectorIndex.dynamic(distance_metric=distance, hnsw=hnsw)


def _field(said: dict[str, object]) -> IndexField | None:
    if "field" not in said:
        return None
    return IndexField(
        name=str(said["field"]),
        type=FieldType(str(said["type"])),
        array=bool(said["array"]),
        integer=bool(said["integer"]),
    )


def _said(description: str | None) -> dict[str, object]:
    try:
        said = json.loads(description or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
