"""Whether a server is still the one that was written to, or was started again since.

A crash takes the last vectors out of a server's vector index, and nothing says so (see `queue`
for those that are late only). So a restart must be noticed by other signs.
"""

from __future__ import annotations

import os
import time
from typing import Any
from weakref import WeakKeyDictionary

import grpc

from semilayer_pipelines.errors import StoreRefused
from semilayer_pipelines.stores.weaviate.connection import persistently

__all__ = ["incarnation"]

_NEVER_LOST = "connected"
_PROCESS = f"connected:{os.getpid()}:{time.time_ns()}"


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
    Where the role may not read the cluster, a connection that was lost and made again counts as a
    restart. What happened while this process was not connected is not known then. Raises
    `StoreUnavailable`.
    """
    try:
        told = persistently("Weaviate: asking the cluster", lambda: _statistics(client))
    except StoreRefused:
        if client not in _connections:
            # Private, as the stub that `connection` wraps.
            _connections[client] = _Connections(client._connection._grpc_channel)
        made = _connections[client].made
        return f"{_PROCESS}:{made}" if made > 1 else _NEVER_LOST
    return " ".join(sorted(_sign(node) for node in told)) or None


def _statistics(client: Any) -> list[Any]:
    nodes: list[Any] = client.cluster.statistics().statistics
    return nodes


def _sign(node: Any) -> str:
    term = node.raft.term if node.raft else ""
    return f"{node.name}:{term}:{node.initial_last_applied_index or 0}"
