"""Whether a server is still the one that was written to, or was started again since.

A crash takes the last vectors out of a server's vector index, and nothing says so (see `queue`
for those that are late only). So a restart must be noticed by other signs.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import grpc

from semilayer_pipelines.errors import StoreRefused
from semilayer_pipelines.stores.protocol import OWN_CONNECTION
from semilayer_pipelines.stores.weaviate.connection import persistently

__all__ = ["incarnation"]


class _Connections:
    """How often the connection to a server was made, as gRPC tells; it does so by itself."""

    def __init__(self, channel: Any) -> None:
        self.made = 0
        channel.subscribe(self._changed)

    def _changed(self, state: grpc.ChannelConnectivity) -> None:
        self.made += state is grpc.ChannelConnectivity.READY


_connections: WeakKeyDictionary[Any, _Connections] = WeakKeyDictionary()


def incarnation(client: Any) -> str | None:
    """Return a text that changes when a node was started again.

    It is made of the terms and starting points of the nodes' logs, so an election changes it too.
    Where the role may not read the cluster, it is how often this process made its connection.
    Raises `StoreUnavailable`.
    """
    try:
        told = persistently("Weaviate: asking the cluster", lambda: _statistics(client))
    except StoreRefused:
        if client not in _connections:
            # Private, as the stub that `connection` wraps.
            _connections[client] = _Connections(client._connection._grpc_channel)
        # The first may have been made before this question or after it.
        return f"{OWN_CONNECTION}{max(1, _connections[client].made)}"
    return " ".join(sorted(_sign(node) for node in told)) or None


def _statistics(client: Any) -> list[Any]:
    nodes: list[Any] = client.cluster.statistics().statistics
    return nodes


def _sign(node: Any) -> str:
    term = node.raft.term if node.raft else ""
    return f"{node.name}:{term}:{node.initial_last_applied_index or 0}"
