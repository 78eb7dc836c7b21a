"""Writing to one collection and deleting from it, until the last object is acknowledged.

One request is one attempt, so that the retries are these and no others. Every request is counted:
what was sent is what was acknowledged and what was refused, and nothing in between. What got no
answer is in doubt: it is looked up and placed again, never written over (see `placing`). A crash
may have stored it and left it in no index, so that no look-up shows it. Written over, it would stay
so, as the server indexes only what changed. So it is deleted by its own address first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from weaviate.classes.query import Filter
from weaviate.exceptions import WeaviateInsertManyAllFailedError

from semilayer_pipelines.errors import DimensionChanged, StoreFull, StoreUnavailable
from semilayer_pipelines.stores.protocol import KEY
from semilayer_pipelines.stores.weaviate.checks import with_checks
from semilayer_pipelines.stores.weaviate.connection import WAITS_S, ask_index, ask_once
from semilayer_pipelines.stores.weaviate.errors import (
    ROOM,
    Fault,
    NoTenant,
    fault_of,
    gone,
    refused,
)
from semilayer_pipelines.stores.weaviate.ids import both_ids, object_id
from semilayer_pipelines.stores.weaviate.objects import chunks, outgoing
from semilayer_pipelines.stores.weaviate.placing import BEFORE, SLOT, no_places, placed
from semilayer_pipelines.stores.weaviate.reads import IDS_AT_ONCE, Reads
from semilayer_pipelines.stores.weaviate.schema import VECTOR_AT
from semilayer_pipelines.stores.weaviate.side_by_side import side_by_side

__all__ = ["REQUESTS_AT_ONCE", "Put", "Writes", "ids_under"]

REQUESTS_AT_ONCE = 2
"""Requests under way in one write; keys are distinct, so their order does not matter."""

ADDRESSES_AT_ONCE = 4
"""Objects that are deleted one by one at the same time."""

_ALL_FAILED = "Every object failed during insertion. Here is the set of all errors: "
_DELETE_ROUNDS = 50


@dataclass(frozen=True)
class Put:
    """What became of objects: `written` has SLOT, AFTER and VECTOR_AT; `rejected` the reasons.

    The objects under AFTER are still there.
    """

    written: pl.DataFrame
    rejected: dict[str, str]


@dataclass(frozen=True)
class Writes:
    """What is done to the collection of an index, or a tenant's part, while its lock is held.

    `confirm` makes sure of that before each request. `later` says that the collection has the
    properties of `LATER`.
    """

    reads: Reads
    confirm: Callable[[], None]
    most_bytes: int
    later: bool

    def put(self, objects: pl.DataFrame, *, absent: bool = False, in_doubt: bool = False) -> Put:
        """Write objects until each is acknowledged or refused for itself.

        `absent` says that nothing is there of their keys, `in_doubt` that what is there must not be
        written over. Raises `StoreUnavailable` when some are not written for the store's reasons,
        `StoreFull`, `DimensionChanged` and `NotFound`.
        """
        there = no_places() if absent and not in_doubt else self._places(objects)
        put_one = partial(self._put_chunk, there=there, in_doubt=in_doubt)
        parts = chunks(objects, self.reads.schema.dimension, self.most_bytes)
        puts = side_by_side(put_one, parts, REQUESTS_AT_ONCE)
        rejected = {key: reason for each in puts for key, reason in each.rejected.items()}
        return Put(pl.concat([each.written for each in puts]) if puts else objects, rejected)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete by id until nothing matches; return how many objects there were."""
        some = [list(ids[at : at + IDS_AT_ONCE]) for at in range(0, len(ids), IDS_AT_ONCE)]
        return sum(side_by_side(self._delete, some, 1))

    def delete_unlisted(self, keys: Sequence[str]) -> int:
        """Delete what is stored of keys of which nothing is listed; return how many objects."""
        ids = self.reads.stored_among(both_ids(keys))
        self._delete_at(ids)
        return len(ids)

    def _put_chunk(self, chunk: pl.DataFrame, there: pl.DataFrame, *, in_doubt: bool) -> Put:
        """Write what one request holds.

        Only what was not acknowledged is sent again. An object that fails for a reason of its own
        gets as many attempts as the rest, and is then given up (invariant 8).
        """
        written, rejected = [], dict[str, str]()
        for wait in (*WAITS_S, None):
            self.confirm()
            if in_doubt:
                self._delete_unlisted(chunk, there)
            rows = placed(chunk, there, in_doubt=in_doubt)
            self.delete(ids_under(rows, BEFORE))
            now = time.time_ns() // 1_000
            rows = with_checks(rows.with_columns(pl.col(VECTOR_AT).fill_null(now)))
            ready = outgoing(
                rows, self.reads.schema.fields, most_bytes=self.most_bytes, later=self.later
            )
            rejected |= ready.rejected
            errors, lost = self._send(ready.objects)
            if lost is None:
                self._refuse_if_final(errors)
            failed = sorted(errors)
            written.append(ready.rows.filter(_all_but(failed, ready.rows.height)))
            if not errors:
                break
            chunk = ready.rows[failed].select(chunk.columns)
            texts = [errors[at] for at in failed]
            trouble = [text for text in texts if lost or fault_of(text) is Fault.TROUBLE]
            if wait is not None:
                # Trouble of the store needs time to pass; an object's own would have shown by now.
                time.sleep((wait if trouble else WAITS_S[0]) * random.uniform(0.7, 1.3))
                there, in_doubt = self._places(chunk), True
        else:
            if lost is not None:
                raise lost
            if trouble:
                raise StoreUnavailable(
                    f"index {self.reads.index}: {len(trouble)} objects were not written: "
                    f"{trouble[0]}",
                    cure="Check that the server is well; then try again.",
                )
            rejected |= dict(zip(chunk[KEY], texts, strict=True))
        return Put(pl.concat(written), rejected)

    def _send(self, objects: list[Any]) -> tuple[dict[int, str], StoreUnavailable | None]:
        """Send objects once; return the errors by position, and why all of them are in doubt."""
        if not objects:
            return {}, None
        try:
            insert = partial(_insert, self.reads.collection, objects)
            return ask_once(self.reads.index, insert), None
        except StoreUnavailable as error:
            return dict.fromkeys(range(len(objects)), error.message), error

    def _places(self, objects: pl.DataFrame) -> pl.DataFrame:
        return self.reads.places(objects[KEY].to_list(), later=self.later)

    def _delete(self, ids: list[str]) -> int:
        """Delete what one request names.

        One call has a limit of its own, and may do half of its work. Of a call whose answer is lost
        nobody knows how many it deleted: they are not counted.
        """
        deleted = 0
        matching = Filter.by_id().contains_any(ids)
        delete = partial(self.reads.collection.data.delete_many, where=matching)
        for _ in range(_DELETE_ROUNDS):
            self.confirm()
            done = ask_index(self.reads.index, delete)
            deleted += int(done.successful)
            if done.matches == done.successful:
                return deleted
            if done.failed and not done.successful:
                # It says no more than that, however many match.
                raise StoreFull(
                    f"index {self.reads.index}: of {done.matches} objects none could be deleted, "
                    "which is what a read-only server answers.",
                    cure=ROOM,
                )
            if not done.successful:
                time.sleep(WAITS_S[0])
        raise StoreUnavailable(
            f"index {self.reads.index}: of {len(ids)} objects some could not be deleted.",
            cure="Check that the server is well; then try again.",
        )

    def _delete_unlisted(self, objects: pl.DataFrame, there: pl.DataFrame) -> None:
        """Delete what the server may have stored of these keys beside what it says is there."""
        listed = {object_id(key, slot) for key, slot in zip(there[KEY], there[SLOT], strict=True)}
        self._delete_at([own for own in both_ids(objects[KEY].to_list()) if own not in listed])

    def _delete_at(self, ids: Sequence[str]) -> None:
        """Delete what may be stored under these ids; the server says the same of what is not."""
        self.confirm()
        delete = self.reads.collection.data.delete_by_id
        # A tenant that is not there yet holds nothing.
        with suppress(NoTenant):
            side_by_side(
                lambda own: ask_index(self.reads.index, partial(delete, own)),
                ids,
                ADDRESSES_AT_ONCE,
            )

    def _refuse_if_final(self, errors: dict[int, str]) -> None:
        for text in errors.values():
            match fault_of(text):
                case Fault.GONE:
                    raise gone(self.reads.index)
                case Fault.FULL:
                    raise StoreFull(
                        f"index {self.reads.index}: the store takes no more: {text}",
                        cure=ROOM,
                    )
                case Fault.REFUSED:
                    raise refused(f"index {self.reads.index}", text)
                case Fault.DIMENSION:
                    raise DimensionChanged(
                        f"index {self.reads.index}: {text}",
                        cure="Rebuild the lens: its model or dimension changed.",
                    )
                case Fault.TROUBLE | Fault.POISON:
                    pass


def ids_under(rows: pl.DataFrame, column: str) -> list[str]:
    """Return the ids that the slots of a column stand for, where it is not null."""
    some = rows.filter(pl.col(column).is_not_null())
    return [object_id(key, slot) for key, slot in zip(some[KEY], some[column], strict=True)]


def _all_but(failed: Sequence[int], rows: int) -> pl.Series:
    kept = np.ones(rows, dtype=np.bool_)
    kept[list(failed)] = False
    return pl.Series(kept)


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
