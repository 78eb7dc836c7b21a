"""A port for gRPC: a servicer behind it that can be cut off, and listen again."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from weaviate.proto.v1 import health_weaviate_pb2, weaviate_pb2_grpc

from tests.patience import eventually

MESSAGE_BYTES = 104_858_000
"""What a message may hold, unless the server is told otherwise."""


def options(message_bytes: int = MESSAGE_BYTES) -> list[tuple[str, int]]:
    """Return the limits of messages, either way."""
    return [
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", message_bytes),
    ]


@dataclass(frozen=True)
class Tls:
    """Files of a certificate for `localhost` and of its key."""

    certificate: Path
    key: Path


@dataclass
class GrpcPort:
    """Serves `servicer` on 127.0.0.1."""

    port: int
    servicer: Any
    tls: Tls | None = None
    message_bytes: int = MESSAGE_BYTES
    _server: Any = None

    def start(self) -> None:
        own = [*options(self.message_bytes), ("grpc.so_reuseport", 0)]
        server = grpc.server(ThreadPoolExecutor(8), options=own)
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(self.servicer, server)
        server.add_generic_rpc_handlers([_health()])
        # Another process that looks for a free port may hold this one for a moment.
        eventually(lambda: self._listens(server))
        server.start()
        self._server = server

    def _listens(self, server: grpc.Server) -> bool:
        address = f"127.0.0.1:{self.port}"
        with contextlib.suppress(RuntimeError):
            if self.tls is None:
                server.add_insecure_port(address)
            else:
                pair = (self.tls.key.read_bytes(), self.tls.certificate.read_bytes())
                server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
            return True
        return False

    def stop(self) -> threading.Event:
        """Cut every connection and listen no more; the event tells when all is over."""
        stopped: threading.Event = self._server.stop(0)
        return stopped

    def cut(self) -> None:
        """Cut every connection, as a crashed server does, and be back at once."""
        stopped = self.stop()

        def again() -> None:
            stopped.wait()
            self.start()

        threading.Thread(target=again).start()


def _health() -> grpc.GenericRpcHandler:
    """Return what answers the client's question at its start whether gRPC is there."""
    serving = health_weaviate_pb2.WeaviateHealthCheckResponse.ServingStatus.SERVING
    check = grpc.unary_unary_rpc_method_handler(
        lambda _, __: health_weaviate_pb2.WeaviateHealthCheckResponse(status=serving),
        request_deserializer=health_weaviate_pb2.WeaviateHealthCheckRequest.FromString,
        response_serializer=health_weaviate_pb2.WeaviateHealthCheckResponse.SerializeToString,
    )
    answering: grpc.GenericRpcHandler = grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": check}
    )
    return answering
