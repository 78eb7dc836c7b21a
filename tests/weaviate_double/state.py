"""What the double holds: classes, their tenants, objects, aliases; one lock over all of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.weaviate_double.rules import Refused
from tests.weaviate_double.schema import capital, class_with_defaults, is_class_name
from tests.weaviate_double.shard import Collection, Stored

__all__ = ["Collection", "State", "Stored"]


@dataclass
class State:
    """Everything, behind one lock; and how this server indexes."""

    classes: dict[str, Collection] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    async_indexing: bool = False
    indexing_s: float = 0.3  # until a vector is taken in, with asynchronous indexing
    gap_s: float = 0.0  # between the two steps of a batch: stored, and found by vector
    life: int = 0  # one more with each crash: what was begun before it comes to nothing

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        config = class_with_defaults(
            asked, self.classes, self.aliases, async_indexing=self.async_indexing
        )
        self.classes[config["class"]] = Collection(config)
        return config

    def drop(self, name: str) -> None:
        """Drop a class, never by an alias; its aliases are left dangling, as the server does it."""
        self.classes.pop(name, None)

    def alias(self, alias: str, class_: str) -> None:
        creating = "updating schema: TYPE_CREATE_ALIAS: create alias: "
        if not is_class_name(alias):
            raise Refused(f"validation: '{alias}' is not a valid alias name")
        self.check_target(class_)
        if alias in self.classes:
            raise Refused(f"{creating}class {alias} already exists", status=500)
        if any(alias.lower() == other.lower() for other in self.aliases):
            raise Refused(f"validation: {creating}{alias}, alias already exists")
        self.aliases[alias] = class_

    def check_target(self, class_: str) -> None:
        if class_ not in self.classes:
            raise Refused(f'validation: target class "{class_}" does not exist')

    def resolved(self, name: str) -> str:
        """Return the class that a name stands for, which may be an alias; there may be none."""
        return self.aliases.get(capital(name), capital(name))

    def find(self, name: str) -> Collection | None:
        return self.classes.get(self.resolved(name))

    def collection(self, name: str) -> Collection:
        """Find a collection, tenants and all, by its name or an alias."""
        found = self.find(name)
        if found is None:
            raise Refused(f"could not find class {self.resolved(name)} in schema")
        return found

    def shards(self) -> Iterator[Collection]:
        for collection in self.classes.values():
            yield from collection.shards().values()

    def run_out_of_room(self) -> None:
        """Make what there is read-only; what is made afterwards is not."""
        with self.lock:
            for shard in self.shards():
                shard.read_only = True

    def make_room(self) -> None:
        """Make everything writable again, as the server does by itself."""
        with self.lock:
            for shard in self.shards():
                shard.read_only = False

    def crash(self, hide: int) -> None:
        """Forget what a killed server forgets: the last `hide` vectors of each shard.

        A server that indexes later forgets none: its queue is on disk.
        """
        with self.lock:
            self.life += 1
            for shard in self.shards():
                shard.crash(0 if self.async_indexing else hide)

    def due(self) -> float | None:
        """Return when a vector written now is taken in, `None` for at once."""
        return time.monotonic() + self.indexing_s if self.async_indexing else None
