"""What a cluster of one node tells of itself: its Raft log, its shards and their queues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.weaviate_double.roles import Role
from tests.weaviate_double.rules import Refused
from tests.weaviate_double.shard import Collection
from tests.weaviate_double.state import State

_ADDRESS = "127.0.0.1:8300"


@dataclass
class Cluster:
    """The Raft log as far as it tells of restarts: a start is a term of its own."""

    version: str
    term: int = 2
    applied: int = 2
    changed: int = 0  # the last entry that changed something
    initial: int = 0  # the same, when this life began; not told where it is 0

    def note_change(self) -> None:
        """Count a change of classes, tenants or aliases, each of which is an entry of the log."""
        self.applied += 1
        self.changed = self.applied

    def note_restart(self) -> None:
        """Begin a term, which is an entry as well, but changes nothing."""
        self.term += 1
        self.applied += 1
        self.initial = self.changed

    def statistics(self) -> dict[str, Any]:
        initial = {"initialLastAppliedIndex": self.initial} if self.initial else {}
        first = {} if self.initial else {"bootstrapped": True}
        node = {
            **first,
            "candidates": {},
            "dbLoaded": True,
            **initial,
            "isVoter": True,
            "leaderAddress": _ADDRESS,
            "leaderId": "node1",
            "name": "node1",
            "open": True,
            "raft": self._raft(),
            "ready": True,
            "status": "HEALTHY",
        }
        return {"statistics": [node], "synchronized": True}

    def nodes(self, state: State, role: Role, *, of: str | None, verbose: bool) -> dict[str, Any]:
        """Tell of the node, in verbose form of each shard; raise `Denied` and `Refused` 404."""
        if not verbose:
            role.check("read_nodes", domain="nodes", verbosity="minimal")
            return self._node(None)
        if of is None:
            # Whoever may not see a shard is not told that there is one.
            seen = list(state.classes) if role.may("read_nodes") else []
            return self._node([each for name in seen for each in _shards(state.classes[name])])
        name = state.resolved(of)
        role.check("read_nodes", domain="nodes", verbosity="verbose", collection=name)
        found = state.find(of)
        if found is None:
            raise Refused(f'class "{name}" not found', status=404)
        return self._node(_shards(found))

    def _node(self, shards: list[dict[str, Any]] | None) -> dict[str, Any]:
        # The number of objects lags so far behind that it is 0 in every test.
        stats = {} if shards is None else {"stats": {"objectCount": 0, "shardCount": len(shards)}}
        waiting = any(each["vectorQueueLength"] for each in shards or ())
        node = {
            "batchStats": {"ratePerSecond": 0} | ({} if waiting else {"queueLength": 0}),
            "name": "node1",
            "operationalMode": "ReadWrite",
            "shards": shards,
            **stats,
            "status": "HEALTHY",
            "version": self.version,
        }
        return {"nodes": [node]}

    def _raft(self) -> dict[str, Any]:
        told = {"address": _ADDRESS, "id": "node1", "suffrage": 0}
        return {
            "appliedIndex": str(self.applied),
            "commitIndex": str(self.applied),
            "fsmPending": "0",
            "lastContact": "0",
            "lastLogIndex": str(self.applied),
            "lastLogTerm": str(self.term),
            "lastSnapshotIndex": "0",
            "lastSnapshotTerm": "0",
            "latestConfiguration": [told],
            "latestConfigurationIndex": "0",
            "numPeers": "0",
            "protocolVersion": "3",
            "protocolVersionMax": "3",
            "protocolVersionMin": "0",
            "snapshotVersionMax": "1",
            "snapshotVersionMin": "0",
            "state": "Leader",
            "term": str(self.term),
        }


def _shards(collection: Collection) -> list[dict[str, Any]]:
    return [
        {
            "asyncReplicationStatus": [],
            "class": collection.config["class"],
            "compressed": False,
            "loaded": True,
            "name": name,
            "numberOfReplicas": 1,
            "objectCount": 0,
            "replicationFactor": 1,
            "vectorIndexingStatus": shard.status(),
            "vectorQueueLength": shard.waiting(),
        }
        for name, shard in collection.shards().items()
    ]
