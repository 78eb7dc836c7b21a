"""What the double holds: classes, their tenants, objects, aliases; one lock over all of it."""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.weaviate_double.rules import Refused, checked_tenant, class_with_defaults


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
    waiting: int = 0
    stuck: bool = False
    tenants: dict[str, Collection] = field(default_factory=dict)
    active: bool = True
    unsearchable: set[bytes] = field(default_factory=set)  # lost by the vector index in a crash
    _sorted: list[bytes] | None = None

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
        self.known_tenants().setdefault(checked_tenant(name), Collection(self.config))

    def known_tenants(self) -> dict[str, Collection]:
        if not self.config["multiTenancyConfig"]["enabled"]:
            raise Refused(f'multi-tenancy is not enabled for class "{self.config["class"]}"')
        return self.tenants

    def take_in(self) -> int:
        """Return how many vectors wait to be indexed, and index some of them."""
        before = self.waiting
        if not self.stuck:
            self.waiting = max(0, before - 100)
        return before

    def put(self, id_: bytes, stored: Stored) -> None:
        """Write an object whole: what it had before is gone, the vector included."""
        if id_ not in self.objects:
            self._sorted = None
        self.objects[id_] = stored

    def remove(self, id_: bytes) -> None:
        self.unsearchable.discard(id_)
        if self.objects.pop(id_, None) is not None:
            self._sorted = None

    def after(self, id_: bytes | None, limit: int) -> list[tuple[bytes, Stored]]:
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        start = 0 if id_ is None else bisect_right(self._sorted, id_)
        return [(each, self.objects[each]) for each in self._sorted[start : start + limit]]


@dataclass
class State:
    """Everything, behind one lock."""

    classes: dict[str, Collection] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        config = class_with_defaults(asked, [*self.classes, *self.aliases])
        self.classes[config["class"]] = Collection(config)
        return config

    def drop(self, name: str) -> None:
        """Drop a class, never by an alias; its aliases are left dangling, as the server does it."""
        self.classes.pop(name, None)

    def alias(self, alias: str, class_: str) -> None:
        taken = [*self.classes, *self.aliases]
        if any(alias.lower() == other.lower() for other in taken):
            raise Refused(f"create alias: {alias} already exists")
        if class_ not in self.classes:
            raise Refused(f"create alias: class {class_} not found")
        self.aliases[alias] = class_

    def collection(self, name: str) -> Collection:
        """Find a collection, tenants and all, by its name or an alias."""
        found = self.classes.get(self.aliases.get(name, name))
        if found is None:
            raise Refused(f"could not find class {name} in schema")
        return found
