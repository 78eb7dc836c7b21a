"""The gRPC side: batches, deletes, searches, counts and tenants."""

from __future__ import annotations

import time
import uuid
from typing import Any

import grpc
import numpy as np
from weaviate.proto.v1 import (
    aggregate_pb2,
    batch_delete_pb2,
    batch_pb2,
    search_get_pb2,
    tenants_pb2,
    weaviate_pb2_grpc,
)

from tests.weaviate_double.faults import Fault, Faults, Kind
from tests.weaviate_double.filters import matcher, wanted_ids
from tests.weaviate_double.rules import Refused, checked
from tests.weaviate_double.state import Collection, State, Stored
from tests.weaviate_double.wire import (
    incoming,
    named_vector,
    outgoing,
    query_vector,
    vector_of,
)

MAXIMUM = 10_000


class Service(weaviate_pb2_grpc.WeaviateServicer):
    """Answers from a `State`, with the faults that were ordered."""

    def __init__(self, state: State, faults: Faults, api_key: str | None = None) -> None:
        self._state = state
        self._faults = faults
        self._api_key = api_key

    def BatchObjects(self, request: Any, context: grpc.ServicerContext) -> Any:
        objects = next(
            (
                f
                for f in self._faults.waiting
                if f.verb == "BatchObjects" and f.kind is Kind.OBJECTS
            ),
            None,
        )
        return self._answer("BatchObjects", context, lambda: self._write(request, objects))

    def BatchDelete(self, request: Any, context: grpc.ServicerContext) -> Any:
        half = any(f.kind is Kind.PARTIAL for f in self._faults.waiting)
        return self._answer("BatchDelete", context, lambda: self._delete(request, half))

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("Search", context, lambda: self._search(request))

    def Aggregate(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("Aggregate", context, lambda: self._count(request))

    def TenantsGet(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("TenantsGet", context, lambda: self._tenants(request))

    def _answer(self, verb: str, context: grpc.ServicerContext, apply: Any) -> Any:
        def locked() -> Any:
            with self._state.lock:
                return apply()

        told = dict(context.invocation_metadata()).get("authorization")
        if self._api_key and told != f"Bearer {self._api_key}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "anonymous access not enabled")
        try:
            return self._faults.around(verb, context, locked)
        except Refused as refused:
            context.abort(grpc.StatusCode.UNKNOWN, str(refused))

    def _write(self, request: Any, fault: Fault | None) -> Any:
        errors = []
        for index, sent in enumerate(request.objects):
            try:
                if self._faults.read_only:
                    raise Refused("put object: store is read-only")
                self._put(sent, fault)
            except Refused as refused:
                errors.append(
                    batch_pb2.BatchObjectsReply.BatchError(index=index, error=str(refused))
                )
        return batch_pb2.BatchObjectsReply(took=0.0, errors=errors)

    def _put(self, sent: Any, fault: Fault | None) -> None:
        collection = self._state.collection(sent.collection).tenant(sent.tenant, create=True)
        class_name = collection.config["class"]
        kinds = {each["name"]: each["dataType"][0] for each in collection.config["properties"]}
        properties = {}
        for name, value in incoming(sent.properties).items():
            if name not in kinds:
                # No auto-schema: what was not declared is refused.
                raise Refused(
                    f"no such prop with name '{name}' found in class '{class_name}' in the schema"
                )
            properties[name] = checked(kinds[name], name, class_name, value)
        if fault and (not fault.keys or properties.get("_key") in fault.keys):
            raise Refused(fault.text)
        vector = vector_of(sent)
        if vector is not None:
            collection.dimension = collection.dimension or len(vector)
            if len(vector) != collection.dimension:
                raise Refused(
                    f"vector lengths don't match: {collection.dimension} vs {len(vector)}"
                )
        collection.put(
            uuid.UUID(sent.uuid).bytes, Stored(properties, vector, time.time_ns() // 1_000_000)
        )

    def _delete(self, request: Any, half: bool) -> Any:
        collection = self._asked(request)
        if self._faults.read_only:
            raise Refused("delete object: store is read-only")
        matches = self._matching(collection, request.filters)
        doomed = matches[: min(MAXIMUM, len(matches) // 2 if half else MAXIMUM)]
        for id_ in doomed:
            collection.remove(id_)
        return batch_delete_pb2.BatchDeleteReply(
            matches=len(matches), successful=len(doomed), failed=0
        )

    def _search(self, request: Any) -> Any:
        collection = self._asked(request)
        limit = request.limit or 10
        if request.offset + limit > MAXIMUM:
            raise Refused("query maximum results exceeded: QUERY_MAXIMUM_RESULTS '10000'")
        near = request.HasField("near_vector")
        filtered = request.HasField("filters")
        if request.after and (near or filtered or request.offset):
            raise Refused("the cursor api is only available for ... no filters, sort or offset")
        if near:
            rows = self._nearest(collection, request, limit)
        elif filtered:
            ids = self._matching(collection, request.filters)
            some = ids[request.offset : request.offset + limit]
            rows = [(id_, collection.objects[id_], None) for id_ in some]
        elif request.offset:
            past = collection.after(None, request.offset + limit)[request.offset :]
            rows = [(id_, stored, None) for id_, stored in past]
        else:
            after = uuid.UUID(request.after).bytes if request.after else None
            rows = [(id_, stored, None) for id_, stored in collection.after(after, limit)]
        return search_get_pb2.SearchReply(
            took=0.0, results=[_result(collection, request, *row) for row in rows]
        )

    def _nearest(self, collection: Collection, request: Any, limit: int) -> list[Any]:
        query = query_vector(request.near_vector)
        if collection.dimension is not None and len(query) != collection.dimension:
            raise Refused(f"vector lengths don't match: {len(query)} vs {collection.dimension}")
        ids = (
            self._matching(collection, request.filters)
            if request.HasField("filters")
            else list(collection.objects)
        )
        searchable = (id_ for id_ in ids if id_ not in collection.unsearchable)
        kept = [(id_, collection.objects[id_]) for id_ in searchable]
        kept = [(id_, stored) for id_, stored in kept if stored.vector is not None]
        if not kept:
            return []
        matrix = np.stack([stored.vector for _, stored in kept])  # type: ignore[misc]
        (config,) = collection.config["vectorConfig"].values()
        distances = _distances(matrix, query, config["vectorIndexConfig"]["distance"])
        order = np.argsort(distances, kind="stable")[:limit]
        return [(*kept[int(at)], float(distances[at])) for at in order]

    def _asked(self, request: Any) -> Collection:
        return self._state.collection(request.collection).tenant(request.tenant)

    def _tenants(self, request: Any) -> Any:
        known = self._state.collection(request.collection).known_tenants()
        wanted = set(request.names.values) if request.HasField("names") else known.keys()
        status = {
            True: tenants_pb2.TENANT_ACTIVITY_STATUS_ACTIVE,
            False: tenants_pb2.TENANT_ACTIVITY_STATUS_INACTIVE,
        }
        return tenants_pb2.TenantsGetReply(
            tenants=[
                tenants_pb2.Tenant(name=name, activity_status=status[part.active])
                for name, part in known.items()
                if name in wanted
            ]
        )

    def _matching(self, collection: Collection, asked: Any) -> list[bytes]:
        ids = wanted_ids(asked)
        if ids is not None:
            return [id_ for id_ in sorted(ids) if id_ in collection.objects]
        passes = matcher(asked, collection.config)
        return [id_ for id_, each in collection.objects.items() if passes(each.properties)]

    def _count(self, request: Any) -> Any:
        collection = self._asked(request)
        counted = (
            self._matching(collection, request.filters)
            if request.HasField("filters")
            else collection.objects
        )
        single = aggregate_pb2.AggregateReply.Single(objects_count=len(counted))
        return aggregate_pb2.AggregateReply(took=0.0, single_result=single)


def _distances(matrix: Any, query: Any, metric: str) -> Any:
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
    collection: Collection, request: Any, id_: bytes, stored: Stored, distance: float | None
) -> Any:
    kinds = {each["name"]: each["dataType"][0] for each in collection.config["properties"]}
    asked = request.properties
    names = (
        list(kinds)
        if asked.return_all_nonref_properties
        else [name for name in asked.non_ref_properties if name in kinds]
    )
    metadata = search_get_pb2.MetadataResult(
        id_as_bytes=id_,
        creation_time_unix=stored.written_ms,
        creation_time_unix_present=True,
        last_update_time_unix=stored.written_ms,
        last_update_time_unix_present=True,
    )
    if distance is not None:
        metadata.distance, metadata.distance_present = distance, True
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
