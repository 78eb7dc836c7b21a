"""Whether a server is still the one that was written to, or was started again since.

A crash takes the last vectors out of a server's vector index, and nothing says so (see `queue`
for those that are late only). So a restart must be noticed by other signs.
"""

from __future__ import annotations

from typing import Any

from semilayer_pipelines.errors import StoreRefused
from semilayer_pipelines.stores.weaviate.connection import persistently

__all__ = ["incarnation"]


def incarnation(client: Any) -> str | None:
    """Return a text that changes when a node was started again.

    It is made of the terms and starting points of the nodes' logs, so an election changes it too.
    Returns `None` where the role may not read the cluster. Raises `StoreUnavailable`.
    """
    try:
        told = persistently("Weaviate: asking the cluster", lambda: _statistics(client))
    except StoreRefused:
        return None
    return " ".join(sorted(_sign(node) for node in told)) or None


def _statistics(client: Any) -> list[Any]:
    nodes: list[Any] = client.cluster.statistics().statistics
    return nodes


def _sign(node: Any) -> str:
    term = node.raft.term if node.raft else ""
    return f"{node.name}:{term}:{node.initial_last_applied_index or 0}"
