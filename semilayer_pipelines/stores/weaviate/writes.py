"""Writing to one collection and deleting from it, until the last object is acknowledged.

One request is one attempt, so that the retries are these and no others. Every request is counted:
what was sent is what was acknowledged and what was refused, and nothing in between.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from weaviate.classes.query import Filter
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from semilayer_pipelines.errors import DimensionChanged, StoreFull, StoreUnavailable
from semilayer_pipelines.stores.lock import Lock
from semilayer_pipelines.stores.weaviate.connection import WAITS_S, ask_index
from semilayer_pipelines.stores.weaviate.errors import Fault, fault_of, gone

__all__ = ["Writes"]

_ALL_FAILED = "Every object failed during insertion. Here is the set of all errors: "
_DELETE_ROUNDS = 50


@dataclass(frozen=True)
class Writes:
    """What is done to the collection of an index, or a tenant's part, while its lock is held."""

    index: str
    collection: Any
    lock: Lock

    def put(self, objects: list[Any], keys: list[str]) -> dict[str, str]:
        """Write objects until each is acknowledged; return those that are at fault themselves.

        Only what was not acknowledged is sent again. An object that fails for a reason of its own
        gets as many attempts as the rest, and is then given up (invariant 8). Raises
        `StoreUnavailable` when some are not written for the store's reasons, `StoreFull`,
        `DimensionChanged` and `NotFound`.
        """
        for wait in (*WAITS_S, None):
            self.lock.confirm()
            errors = ask_index(self.index, partial(_insert, self.collection, objects))
            if not errors:
                return {}
            self._refuse_if_final(errors)
            left = sorted(errors)
            objects, keys = [objects[at] for at in left], [keys[at] for at in left]
            failed = [errors[at] for at in left]
            trouble = [text for text in failed if fault_of(text) is Fault.TROUBLE]
            if wait is not None:
                # Trouble of the store needs time to pass; an object's own would have shown by now.
                time.sleep((wait if trouble else WAITS_S[0]) * random.uniform(0.7, 1.3))
        if trouble:
            raise StoreUnavailable(
                f"index {self.index}: {len(trouble)} objects were not written: {trouble[0]}",
                cure="Check that the server is well; then try again.",
            )
        return dict(zip(keys, failed, strict=True))

    def delete(self, ids: list[str]) -> int:
        """Delete until nothing matches; return how many there were.

        One call has a limit of its own, and may do half of its work. Of a call whose answer is lost
        nobody knows how many it deleted: they are not counted.
        """
        deleted = 0
        matching = Filter.by_id().contains_any(ids)
        for _ in range(_DELETE_ROUNDS):
            self.lock.confirm()
            done = ask_index(self.index, partial(self.collection.data.delete_many, where=matching))
            deleted += int(done.successful)
            if done.matches == done.successful:
                return deleted
            if not done.successful:
                time.sleep(WAITS_S[0])
        raise StoreUnavailable(
            f"index {self.index}: of {len(ids)} objects some could not be deleted.",
            cure="Check that the server is well; then try again.",
        )

    def _refuse_if_final(self, errors: dict[int, str]) -> None:
        for text in errors.values():
            match fault_of(text):
                case Fault.GONE:
                    raise gone(self.index)
                case Fault.FULL:
                    raise StoreFull(
                        f"index {self.index}: the store takes no more: {text}",
                        cure="Give the server room and set its shards to READY, then run it again.",
                    )
                case Fault.DIMENSION:
                    raise DimensionChanged(
                        f"index {self.index}: {text}",
                        cure="Rebuild the lens: its model or dimension changed.",
                    )
                case Fault.TROUBLE | Fault.POISON:
                    pass


def _insert(collection: Any, objects: list[Any]) -> dict[int, str]:
    """Send objects in one request; return the errors by position."""
    try:
        answer = collection.data.insert_many(objects)
    except WeaviateInsertManyAllFailedError as error:
        # The client tells no more than the set of all errors here.
        return dict.fromkeys(range(len(objects)), str(error.message).removeprefix(_ALL_FAILED))
    if len(answer.uuids) + len(answer.errors) != len(objects):
        raise StoreUnavailable(
            f"{len(objects)} objects were sent, {len(answer.uuids)} acknowledged and "
            f"{len(answer.errors)} refused."
        )
    return {position: error.message for position, error in answer.errors.items()}
