"""The double as a server: `Double.serving()`, or `python -m tests.weaviate_double`."""

from __future__ import annotations

import atexit
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
from weaviate.proto.v1 import weaviate_pb2_grpc

from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.stores.weaviate import connection
from tests.weaviate_double.faults import Faults
from tests.weaviate_double.rest import handler
from tests.weaviate_double.service import Service
from tests.weaviate_double.state import State

VERSION = "1.39.0"
_MESSAGE = 104_858_000


@dataclass(frozen=True)
class Tls:
    """Files of a certificate for `localhost` and of its key."""

    certificate: Path
    key: Path


@dataclass
class Double:
    """A running stand-in and the way to make it fail."""

    http_port: int
    grpc_port: int
    state: State = field(default_factory=State)
    faults: Faults = field(default_factory=Faults)
    asked: list[str] = field(default_factory=list)
    api_key: str | None = None
    tls: Tls | None = None
    _grpc: Any = None

    @property
    def environ(self) -> dict[str, str]:
        """The settings with which a project finds it."""
        # The certificate is for the name; the number spares every connection a look at IPv6.
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return {
            "WEAVIATE_URL": f"{scheme}://{host}:{self.http_port}",
            "WEAVIATE_GRPC_URL": f"{scheme}://{host}:{self.grpc_port}",
        }

    @classmethod
    @contextmanager
    def serving(
        cls,
        http_port: int | None = None,
        grpc_port: int | None = None,
        *,
        version: str = VERSION,
        api_key: str | None = None,
        tls: Tls | None = None,
    ) -> Iterator[Double]:
        """Start it, on free ports unless told, and stop it whatever happens."""
        ports = http_port or free_port(), grpc_port or free_port()
        double = cls(*ports, api_key=api_key, tls=tls)
        double.faults.cut = double.cut
        rest = handler(double.state, version=version, api_key=api_key, asked=double.asked)
        http = ThreadingHTTPServer(("127.0.0.1", double.http_port), rest)
        http.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        double.start_grpc()
        try:
            yield double
        finally:
            double.forget()
            double.stop_grpc()
            http.shutdown()
            http.server_close()
            thread.join()

    def forget(self) -> None:
        """Close this process's clients, each of which holds threads here until the process ends."""
        for settings, client in list(connection._clients.items()):
            if settings.http.port == self.http_port:
                del connection._clients[settings]
                atexit.unregister(client.close)
                client.close()

    def start_grpc(self) -> None:
        size = [
            ("grpc.max_receive_message_length", _MESSAGE),
            ("grpc.max_send_message_length", _MESSAGE),
        ]
        server = grpc.server(ThreadPoolExecutor(8), options=[*size, ("grpc.so_reuseport", 0)])
        service = Service(self.state, self.faults, self.api_key)
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(service, server)
        address = f"127.0.0.1:{self.grpc_port}"
        if self.tls:
            pair = (self.tls.key.read_bytes(), self.tls.certificate.read_bytes())
            server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            server.add_insecure_port(address)
        server.start()
        self._grpc = server

    def stop_grpc(self) -> None:
        """Cut every connection and listen no more."""
        self._grpc.stop(0).wait()

    def cut(self) -> None:
        """Cut every connection, as a crashed server does, and be back at once."""
        stopped = self._grpc.stop(0)

        def again() -> None:
            stopped.wait()
            self.start_grpc()

        threading.Thread(target=again).start()
