"""One shard: the objects of a class or of a tenant, and which of them its vector index has.

The object store never forgets. The vector index may lack objects: those of a request that has not
reached its end, those that wait to be taken in, those that a crash made it lose.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.weaviate_double.rules import Refused, checked_tenant


@dataclass
class Stored:
    """One object; `vector` is `None` when it was written without one."""

    properties: dict[str, Any]
    vector: NDArray[np.float32] | None
    written_ms: int


@dataclass
class Collection:
    """One class and its objects by the bytes of their ids, in whose order it is scanned.

    A class with tenants has its objects in `tenants` instead, each of which is such a collection.
    """

    config: dict[str, Any]
    objects: dict[bytes, Stored] = field(default_factory=dict)
    dimension: int | None = None
    tenants: dict[str, Collection] = field(default_factory=dict)
    active: bool = True
    read_only: bool = False
    unsearchable: set[bytes] = field(default_factory=set)  # stored, and not in the vector index
    queue: list[tuple[float, bytes]] = field(default_factory=list)  # when due, and which object
    unlisted: set[bytes] = field(default_factory=set)  # stored, and no filter finds them
    stuck: bool = False  # nothing is taken in from the queue
    taken: list[bytes] = field(default_factory=list)  # from the queue, and not yet in the index
    late: int = 0  # how many of those stay on their way
    missed: dict[str, int] = field(default_factory=dict)  # how often no search reaches a new one
    _buffered: dict[bytes, None] = field(default_factory=dict)  # by the order of their vectors
    _sorted: list[bytes] | None = None

    def shards(self) -> dict[str, Collection]:
        """Return what the server calls shards: each tenant, or the one of a class without."""
        return self.tenants if self.config["multiTenancyConfig"]["enabled"] else {"one": self}

    def tenant(self, name: str, *, create: bool = False) -> Collection:
        """Find the part of a tenant; refuse what the server refuses for its configuration."""
        told = self.config["multiTenancyConfig"]
        about = f"class {self.config['class']} has multi-tenancy"
        if not told["enabled"]:
            if name:
                raise Refused(f"{about} disabled, but request was with tenant")
            return self
        if not name:
            raise Refused(f"{about} enabled, but request was without tenant")
        if name not in self.tenants:
            if not (create and told["autoTenantCreation"]):
                raise Refused(f'tenant not found: "{name}"')
            self.add_tenant(name)
        found = self.tenants[name]
        if not (found.active or told["autoTenantActivation"]):
            raise Refused(f"tenant not active: '{name}'")
        found.active = True
        return found

    def add_tenant(self, name: str) -> None:
        self.tenants.setdefault(checked_tenant(name), Collection(self.config))

    def known_tenants(self) -> dict[str, Collection]:
        if not self.config["multiTenancyConfig"]["enabled"]:
            raise Refused(f'multi-tenancy is not enabled for class "{self.config["class"]}"')
        return self.tenants

    def put(self, id_: bytes, stored: Stored) -> None:
        """Write an object whole and let it be found: what it had before is gone."""
        if self.store(id_, stored):
            self.index(id_, None)

    def store(self, id_: bytes, stored: Stored) -> bool:
        """Write an object whole; say whether its vector is yet to be indexed.

        An equal vector is left alone, whether or not the index has it. Another takes the old one
        out at once.
        """
        before = self.objects.get(id_)
        self.objects[id_] = stored
        if before is None:
            self._sorted = None
        elif _equal(before.vector, stored.vector):
            return False  # nor is what did not change put into any other index
        self.unlisted.discard(id_)
        self._buffered.pop(id_, None)
        self.unsearchable.add(id_)
        return stored.vector is not None

    def index(self, id_: bytes, due: float | None) -> None:
        """Take a vector into the index, now or when it is due."""
        if due is not None:
            self.queue.append((due, id_))
        elif id_ in self.objects and not self._misses(id_):
            self.unsearchable.discard(id_)
            self._buffered[id_] = None

    def _misses(self, id_: bytes) -> bool:
        """Say whether the graph takes a vector in and no link leads to it."""
        key = self.objects[id_].properties.get("_key", "")
        left = self.missed.get(key, 0)
        if left:
            self.missed[key] = left - 1
        return left > 0

    def remove(self, id_: bytes) -> None:
        self.unlisted.discard(id_)
        self.unsearchable.discard(id_)
        self._buffered.pop(id_, None)
        if self.objects.pop(id_, None) is not None:
            self._sorted = None

    def lists(self, id_: bytes) -> bool:
        """Say whether filters find an object, as by its id."""
        return id_ in self.objects and id_ not in self.unlisted

    def waiting(self) -> int:
        """Return how many vectors wait to be indexed, after taking in what is due.

        Those that are on their way from the queue into the index are not counted.
        """
        now = time.monotonic()
        while self.queue and not self.stuck and self.queue[0][0] <= now:
            self.taken.append(self.queue.pop(0)[1])
        while len(self.taken) > self.late:
            self.index(self.taken.pop(0), None)
        return len(self.queue)

    def status(self) -> str:
        if self.read_only:
            return "READONLY"
        return "INDEXING" if self.waiting() else "READY"

    def searchable(self) -> set[bytes]:
        """Return the ids of the objects that a search by vector can find."""
        self.waiting()
        return self.objects.keys() - self.unsearchable

    def crash(self, hide: int) -> None:
        """Lose the vectors that were last taken in, and have all others on disk."""
        self.unsearchable |= set(list(self._buffered)[-hide:] if hide else ())
        self._buffered.clear()

    def lose(self, are_lost: Callable[[str], bool]) -> int:
        """Leave objects in no index, by their keys, as a crash does; return how many."""
        lost = {id_ for id_, each in self.objects.items() if are_lost(each.properties["_key"])}
        self.unlisted |= lost
        self.unsearchable |= lost
        for id_ in lost:
            self._buffered.pop(id_, None)
        return len(lost)

    def after(self, id_: bytes | None, limit: int) -> list[tuple[bytes, Stored]]:
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        start = 0 if id_ is None else bisect_right(self._sorted, id_)
        return [(each, self.objects[each]) for each in self._sorted[start : start + limit]]


def _equal(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.array_equal(one, other))
