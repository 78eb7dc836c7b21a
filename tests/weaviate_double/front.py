"""Faults before a real server: each call is passed on to it, or goes wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from weaviate.proto.v1 import batch_pb2, weaviate_pb2_grpc

from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.stores.weaviate.settings import WeaviateSettings
from tests.weaviate_double.faults import Fault, Faults, Kind
from tests.weaviate_double.port import GrpcPort, options


@dataclass
class Front(weaviate_pb2_grpc.WeaviateServicer):
    """Stands before the gRPC port of a server; `Kind.PARTIAL` and `Kind.KILLED` are not for it."""

    settings: Mapping[str, str]
    faults: Faults = field(default_factory=Faults)
    port: int = field(default_factory=free_port)

    @property
    def environ(self) -> dict[str, str]:
        """The settings with which a project finds the server behind it."""
        return dict(self.settings) | {"WEAVIATE_GRPC_URL": f"http://127.0.0.1:{self.port}"}

    @classmethod
    @contextmanager
    def serving(cls, settings: Mapping[str, str]) -> Iterator[Front]:
        front = cls(settings)
        port = GrpcPort(front.port, front)
        front.faults.cut = port.cut
        port.start()
        try:
            yield front
        finally:
            port.stop().wait()

    def __post_init__(self) -> None:
        behind = WeaviateSettings.from_environ(self.settings).grpc
        channel = grpc.insecure_channel(f"{behind.host}:{behind.port}", options=options())
        self._stub = weaviate_pb2_grpc.WeaviateStub(channel)

    def BatchObjects(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._pass_on("BatchObjects", request, context)

    def BatchDelete(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._pass_on("BatchDelete", request, context)

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._pass_on("Search", request, context)

    def Aggregate(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._pass_on("Aggregate", request, context)

    def TenantsGet(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._pass_on("TenantsGet", request, context)

    def _pass_on(self, verb: str, request: Any, context: grpc.ServicerContext) -> Any:
        told = context.invocation_metadata()
        metadata = [(key, text) for key, text in told if key == "authorization"]

        def apply(fault: Fault | None) -> Any:
            if fault and fault.kind is Kind.OBJECTS:
                return self._without(fault, request, metadata)
            return getattr(self._stub, verb)(request, metadata=metadata)

        try:
            return self.faults.around(verb, context, apply)
        except grpc.RpcError as error:
            failed: Any = error  # every one that a call raises is the call as well
            context.abort(failed.code(), failed.details())

    def _without(self, fault: Fault, request: Any, metadata: Any) -> Any:
        """Pass on a batch without the objects that are to fail, and say that they did."""
        reply = batch_pb2.BatchObjectsReply()
        passed = batch_pb2.BatchObjectsRequest(consistency_level=request.consistency_level)
        places = []
        for index, sent in enumerate(request.objects):
            key = sent.properties.non_ref_properties.fields["_key"].string_value
            if not fault.keys or key in fault.keys:
                reply.errors.add(index=index, error=fault.text)
            else:
                passed.objects.append(sent)
                places.append(index)
        if places:
            for each in self._stub.BatchObjects(passed, metadata=metadata).errors:
                reply.errors.add(index=places[each.index], error=each.error)
        return reply


@contextmanager
def faulty(environ: Mapping[str, str]) -> Iterator[Any]:
    """Give what goes wrong on order: the double or, with `WEAVIATE_URL`, a real server behind."""
    from tests.weaviate_double.server import Double

    if "WEAVIATE_URL" in environ:
        settings = {name: text for name, text in environ.items() if name.startswith("WEAVIATE_")}
        with Front.serving(settings) as front:
            yield front
    else:
        with Double.serving() as double:
            yield double
