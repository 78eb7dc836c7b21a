"""Searches: by vector, by words, by filter, by id, and page after page."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from weaviate.proto.v1 import base_pb2, search_get_pb2

from tests.weaviate_double.filters import matcher, wanted_ids
from tests.weaviate_double.keywords import ranked_by_words
from tests.weaviate_double.rules import Refused
from tests.weaviate_double.shard import Collection, Stored
from tests.weaviate_double.wire import named_vector, outgoing, query_vector

MOST_FOUND = 10_000
_LISTING = "explorer: list class: search: "
_WORDS = "explorer: get class: vector search: "
_NEAR = "explorer: get class: concurrentTargetVectorSearch): explorer: get class: vector search: "


def search(collection: Collection, request: Any) -> Any:
    """Answer a search of one shard."""
    limit = request.limit or 10
    near, words = request.HasField("near_vector"), request.HasField("bm25_search")
    filtered = request.HasField("filters")
    cursor = "cursor api: invalid 'after' parameter: "
    if request.after and filtered:
        raise Refused(f"{cursor}where cannot be set with after and limit parameters")
    if request.after and (near or request.offset):
        raise Refused(f"{cursor}offset cannot be set with after and limit parameters")
    if request.offset + limit > MOST_FOUND:
        raise Refused(
            f"{_prefix(near, words)}invalid pagination params: query maximum results "
            f"exceeded: the total limit calculated from the provided offset '{request.offset}' "
            f"and limit '{limit}' exceeds the configured value for QUERY_MAXIMUM_RESULTS "
            f"'{MOST_FOUND}'. If you've supplied a negative offset or limit, this may be an "
            "underflow error."
        )
    if near:
        rows = _nearest(collection, request, limit)
    elif words:
        rows = _by_words(collection, request, limit)
    elif filtered:
        ids = matching(collection, request.filters)
        some = ids[request.offset : request.offset + limit]
        rows = [(id_, collection.objects[id_], {}) for id_ in some]
    elif request.offset:
        past = collection.after(None, request.offset + limit)[request.offset :]
        rows = [(id_, stored, {}) for id_, stored in past]
    else:
        after = uuid.UUID(request.after).bytes if request.after else None
        rows = [(id_, stored, {}) for id_, stored in collection.after(after, limit)]
    return search_get_pb2.SearchReply(
        took=0.0, results=[_result(collection, request, *row) for row in rows]
    )


def _prefix(near: bool, words: bool) -> str:
    if words:
        return _WORDS
    return _NEAR if near else _LISTING


def matching(collection: Collection, asked: Any) -> list[bytes]:
    """Return the ids of the objects that a filter lets through."""
    ids = wanted_ids(asked)
    if ids is not None:
        return [id_ for id_ in sorted(ids) if collection.lists(id_)]
    if asked.operator == base_pb2.Filters.OPERATOR_AND and "_id" in {
        each.target.property for each in asked.filters
    }:
        some = [matching(collection, each) for each in asked.filters]
        return sorted(set.intersection(*map(set, some)))
    passes = matcher(asked, collection.config)
    return [
        id_
        for id_, each in collection.objects.items()
        if passes(each.properties) and collection.lists(id_)
    ]


def _by_words(collection: Collection, request: Any, limit: int) -> list[Any]:
    ids = (
        matching(collection, request.filters)
        if request.HasField("filters")
        else list(collection.objects)
    )
    objects = [(id_, collection.objects[id_].properties) for id_ in collection.objects]
    allowed = set(ids)
    # As of all objects: a filter changes who is shown, and not how rare a word is.
    ranked = ranked_by_words(collection.config, objects, request.bm25_search)
    some = [each for each in ranked if each[0] in allowed][request.offset : request.offset + limit]
    return [(id_, collection.objects[id_], {"score": score}) for id_, score in some]


def _nearest(collection: Collection, request: Any, limit: int) -> list[Any]:
    query = query_vector(request.near_vector)
    if collection.dimension is not None and len(query) != collection.dimension:
        raise Refused(
            f"{_NEAR}object vector search at index {collection.config['class'].lower()}: vector "
            f"search: knn search: distance between entrypoint and query node: "
            f"{collection.dimension} vs {len(query)}: vector lengths don't match"
        )
    ids = (
        matching(collection, request.filters)
        if request.HasField("filters")
        else list(collection.objects)
    )
    searchable = collection.searchable()
    kept = [(id_, collection.objects[id_]) for id_ in ids if id_ in searchable]
    kept = [(id_, stored) for id_, stored in kept if stored.vector is not None]
    if not kept:
        return []
    matrix = np.stack([stored.vector for _, stored in kept])  # type: ignore[misc]
    (config,) = collection.config["vectorConfig"].values()
    distances = _distances(matrix, query, config["vectorIndexConfig"]["distance"])
    order = np.argsort(distances, kind="stable")[request.offset : request.offset + limit]
    return [(*kept[int(at)], {"distance": float(distances[at])}) for at in order]


def _distances(matrix: Any, query: Any, metric: str) -> Any:
    with np.errstate(invalid="ignore"):
        dots = matrix @ query
        match metric:
            case "dot":
                return -dots
            case "l2-squared":
                return ((matrix - query) ** 2).sum(axis=1)
            case _:
                norms = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
                return 1 - dots / np.where(norms, norms, 1)


def _result(
    collection: Collection, request: Any, id_: bytes, stored: Stored, told: dict[str, float]
) -> Any:
    kinds = {each["name"]: each["dataType"][0] for each in collection.config["properties"]}
    asked = request.properties
    names = (
        list(kinds)
        if asked.return_all_nonref_properties or not request.HasField("properties")
        else [name for name in asked.non_ref_properties if name in kinds]
    )
    metadata = search_get_pb2.MetadataResult(
        id_as_bytes=id_,
        creation_time_unix=stored.written_ms,
        creation_time_unix_present=True,
        last_update_time_unix=stored.written_ms,
        last_update_time_unix_present=True,
    )
    for name, value in told.items():
        setattr(metadata, name, value)
        setattr(metadata, f"{name}_present", True)
    wants_vector = request.metadata.vector or request.metadata.vectors
    if wants_vector and stored.vector is not None:
        metadata.vectors.append(named_vector(stored.vector))
    return search_get_pb2.SearchResult(
        properties=search_get_pb2.PropertiesResult(
            target_collection=collection.config["class"],
            non_ref_props=outgoing(stored.properties, kinds, names),
        ),
        metadata=metadata,
    )
