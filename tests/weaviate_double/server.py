"""The double as a server: `Double.serving()`, or `python -m tests.weaviate_double`."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Collection as Names
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.stores.weaviate import connection
from tests.weaviate_double.cluster import Cluster
from tests.weaviate_double.faults import Fault, Faults
from tests.weaviate_double.port import MESSAGE_BYTES, GrpcPort, Tls
from tests.weaviate_double.rest import Rest
from tests.weaviate_double.roles import Role
from tests.weaviate_double.routes import Routes
from tests.weaviate_double.service import Service
from tests.weaviate_double.state import State

__all__ = ["Double", "Tls"]

VERSION = "1.39.0"


@dataclass
class Double:
    """A running stand-in and the way to make it fail."""

    rest: Rest
    grpc: GrpcPort
    state: State
    cluster: Cluster
    role: Role
    faults: Faults
    away_s: float = 0.2  # how long a killed server refuses connections
    starting_s: float = 0.2  # how long it is up and not ready then
    _killing: list[threading.Thread] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """The settings with which a project finds it."""
        # The certificate is for the name; the number spares every connection a look at IPv6.
        scheme, host = ("https", "localhost") if self.rest.tls else ("http", "127.0.0.1")
        return {
            "WEAVIATE_URL": f"{scheme}://{host}:{self.rest.port}",
            "WEAVIATE_GRPC_URL": f"{scheme}://{host}:{self.grpc.port}",
        }

    @property
    def asked(self) -> list[str]:
        """Every path that was asked for over REST."""
        return self.rest.asked

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
        denied: Names[str] = (),
        async_indexing: bool = False,
        message_bytes: int = MESSAGE_BYTES,
    ) -> Iterator[Double]:
        """Start it, on free ports unless told, and stop it whatever happens.

        `denied` are permissions that its one role lacks, by the server's names: `read_tenants`.
        `message_bytes` is its `GRPC_MAX_MESSAGE_SIZE`.
        """
        state, role = State(async_indexing=async_indexing), Role(frozenset(denied))
        cluster = Cluster(version)
        routes = Routes(state, cluster, role, message_bytes)
        rest = Rest(http_port or free_port(), routes, api_key, tls)
        faults = Faults()
        service = Service(state, faults, role, api_key)
        port = GrpcPort(grpc_port or free_port(), service, tls, message_bytes)
        double = cls(rest, port, state, cluster, role, faults)
        double.faults.cut = port.cut
        double.faults.kill = double.kill_by_order
        rest.start()
        double.start_grpc()
        try:
            yield double
        finally:
            for killing in double._killing:
                killing.join()
            double.forget()
            double.stop_grpc()
            rest.stop()

    def forget(self) -> None:
        """Close this process's clients, each of which holds threads here until the process ends."""
        for settings, client in list(connection._clients.items()):
            if settings.http.port == self.rest.port:
                del connection._clients[settings]
                atexit.unregister(client.close)
                client.close()

    def take_keys_back(self) -> None:
        """Let no key be good any more."""
        self.rest.api_key = self.grpc.servicer.api_key = "another key"

    def start_grpc(self) -> None:
        self.grpc.start()

    def stop_grpc(self) -> None:
        """Cut every connection and listen no more."""
        self.grpc.stop().wait()

    def kill_and_restart(self, hide: int = 25) -> None:
        """Die and come up again; return when it is ready.

        The vectors that each shard took in last, `hide` of them, are in its index no more. What a
        request had stored that was not at its end is hidden as well.
        """
        self._come_up(self._die(hide))

    def kill_by_order(self, fault: Fault) -> None:
        """Die in the middle of a request, and come up again meanwhile."""
        killing = threading.Thread(target=self._come_up, args=(self._die(fault.hide),))
        killing.start()
        self._killing.append(killing)

    def _die(self, hide: int) -> threading.Event:
        with self.state.lock:
            stopped = self.grpc.stop()
            self.state.crash(hide)
        self.rest.stop()
        return stopped

    def _come_up(self, stopped: threading.Event) -> None:
        stopped.wait()
        time.sleep(self.away_s)
        self.rest.start(ready=False)
        time.sleep(self.starting_s)
        self.cluster.note_restart()
        self.start_grpc()
        self.rest.ready.set()
