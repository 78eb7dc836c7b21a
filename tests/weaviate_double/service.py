"""The gRPC side: who may ask, what is to go wrong, and which module answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from weaviate.proto.v1 import base_pb2, batch_pb2, tenants_pb2, weaviate_pb2_grpc

from tests.weaviate_double.aggregate import aggregate
from tests.weaviate_double.batch import Batch, check_auto_tenants, delete
from tests.weaviate_double.faults import Fault, Faults, Kind
from tests.weaviate_double.roles import Denied, Role
from tests.weaviate_double.rules import Refused
from tests.weaviate_double.search import search
from tests.weaviate_double.shard import Collection
from tests.weaviate_double.state import State

_Apply = Callable[[Fault | None], Any]


class Service(weaviate_pb2_grpc.WeaviateServicer):
    """Answers from a `State`, with the faults that were ordered."""

    def __init__(self, state: State, faults: Faults, role: Role, api_key: str | None) -> None:
        self._state = state
        self._faults = faults
        self._role = role
        self.api_key = api_key

    def BatchObjects(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._note_level(request)
        life = self._state.life
        return self._answer(
            "BatchObjects", context, lambda fault: self._write(request, fault, life)
        )

    def BatchDelete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def apply(fault: Fault | None) -> Any:
            half = fault is not None and fault.kind is Kind.PARTIAL
            return delete(self._state, self._role, request, half)

        self._note_level(request)
        return self._answer("BatchDelete", context, self._at_once(apply))

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._note_level(request)
        return self._answer("Search", context, self._at_once(lambda _: self._search(request)))

    def Aggregate(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("Aggregate", context, self._at_once(lambda _: self._aggregate(request)))

    def TenantsGet(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._answer("TenantsGet", context, self._at_once(lambda _: self._tenants(request)))

    def _note_level(self, request: Any) -> None:
        if "consistency_level" in request.DESCRIPTOR.fields_by_name and request.HasField(
            "consistency_level"
        ):
            name = base_pb2.ConsistencyLevel.Name(request.consistency_level)
            self._faults.levels.add(name.removeprefix("CONSISTENCY_LEVEL_"))

    def _answer(self, verb: str, context: grpc.ServicerContext, apply: _Apply) -> Any:
        told = dict(context.invocation_metadata()).get("authorization")
        if self.api_key and told != f"Bearer {self.api_key}":
            # Not UNAUTHENTICATED: that is what a real server answers.
            context.abort(grpc.StatusCode.UNKNOWN, "extract auth: unauthorized: invalid api key")
        try:
            return self._faults.around(verb, context, apply)
        except Refused as refused:
            context.abort(grpc.StatusCode.UNKNOWN, str(refused))
        except Denied as denied:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(denied))

    def _at_once(self, apply: _Apply) -> _Apply:
        """Return a request that is answered as of one moment, in the life that it came in."""
        life = self._state.life

        def locked(fault: Fault | None) -> Any:
            with self._state.lock:
                self._check_alive(life)
                return apply(fault)

        return locked

    def _check_alive(self, life: int) -> None:
        if self._state.life != life:
            raise Refused("the server was killed")

    def _write(self, request: Any, fault: Fault | None, life: int) -> Any:
        batch = Batch(self._state, self._role, fault)
        with self._state.lock:
            self._check_alive(life)
            check_auto_tenants(self._state, self._role, request.objects)
            batch.store(request.objects)
        if fault and fault.kind is Kind.KILLED:
            self._faults.kill(fault)
        elif self._state.gap_s:
            time.sleep(self._state.gap_s)
        with self._state.lock:
            self._check_alive(life)
            batch.index()
        return batch_pb2.BatchObjectsReply(took=0.0, errors=batch.errors)

    def _search(self, request: Any) -> Any:
        name = self._state.resolved(request.collection)
        self._role.check_data("read", name, request.tenant)
        found = self._state.collection(name)
        asked = f"explorer: list class: search: object search at index {name.lower()}: "
        return search(_part(found, request.tenant, asked), request)

    def _aggregate(self, request: Any) -> Any:
        name = self._state.resolved(request.collection)
        self._role.check_data("read", name, request.tenant, said_before="parse params: ")
        found = self._state.find(name)
        if found is None:
            raise Refused(f"parse params: could not find class {name} in schema")
        return aggregate(_part(found, request.tenant, "aggregate: "), request)

    def _tenants(self, request: Any) -> Any:
        asking = (
            "get tenants: failed to execute query: could not get tenants: could not get tenants: "
        )
        found = self._state.find(request.collection)
        if found is None:
            raise Refused(f"{asking}class not found")
        try:
            known = found.known_tenants()
        except Refused as refused:
            raise Refused(f"{asking}{refused}") from None
        wanted = set(request.names.values) if request.HasField("names") else known.keys()
        if not self._role.may("read_tenants"):
            wanted = set()  # they are left out, and nothing is said of it
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


def _part(found: Collection, tenant: str, asked: str) -> Collection:
    try:
        return found.tenant(tenant)
    except Refused as refused:
        raise Refused(f"{asked}{refused}") from None
