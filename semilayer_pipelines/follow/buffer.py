"""From what a feed read to the buffers of lenses: one transaction, the position in it.

The records job of a lens does the rest: it looks the rows up. What names no row is a smart sync.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from semilayer_pipelines.bridges.protocol import Bridge
from semilayer_pipelines.control.debounce import request_soon
from semilayer_pipelines.follow.feed import Batch, RowChange, Watched
from semilayer_pipelines.follow.readers import FollowedSource, Joined, Reading, watched
from semilayer_pipelines.http.contract import MAX_ID_CHARACTERS, Action
from semilayer_pipelines.registry import changes, feeds, jobs
from semilayer_pipelines.registry.feeds import FeedRow
from semilayer_pipelines.registry.jobs import Job, Mode
from semilayer_pipelines.registry.lenses import Lens

__all__ = ["ORIGIN", "ForLenses", "ReadersChanged", "for_lenses", "keep"]

ORIGIN = "cdc"

MOST_PARENTS = 100_000
"""Rows that join the changed ones of a batch; more are a smart sync."""


class ReadersChanged(Exception):
    """A lens was pushed, removed or rebuilt since the batch was read: it is to be read again."""


@dataclass
class ForLenses:
    """What a batch means for lenses: their changes, the last of each key, and who needs a sync."""

    changes: dict[int, dict[str, Action]] = field(default_factory=lambda: defaultdict(dict))
    syncs: set[int] = field(default_factory=set)

    @property
    def number(self) -> int:
        """How many changes there are."""
        return sum(len(one) for one in self.changes.values())


def for_lenses(batch: Batch, readings: Sequence[Reading], bridge: Bridge) -> ForLenses:
    """Return what a batch means for the lenses that read the tables. Raises what the bridge raises.

    A row whose key holds NULL is in no index, and means nothing.
    """
    found = ForLenses()
    by_table: dict[str, list[RowChange]] = defaultdict(list)
    for change in batch.changes:
        by_table[change.table].append(change)
    columns = watched(tuple(readings))
    for reading in readings:
        lens_id = reading.lens.id
        if reading.table in batch.missed or batch.restarted is not None:
            found.syncs.add(lens_id)
        if of_table := by_table.get(reading.table):
            told = found.changes[lens_id]
            keys = _keys(of_table, reading, columns, bridge)
            if reading.joined is not None:
                if not _tell_parents(told, reading.joined, keys, bridge):
                    found.syncs.add(lens_id)
                continue
            for key, action in keys:
                if not _can_be_told(key):
                    found.syncs.add(lens_id)
                    continue
                told.pop(key, None)  # the last one counts, and has the last place
                told[key] = action if reading.sure else Action.UPSERT
    return found


def keep(
    db: Connection,
    source: FollowedSource,
    feed: FeedRow,
    batch: Batch,
    told: ForLenses,
    *,
    now: datetime,
    new_id: Callable[[], str],
    nudged: bool = False,
) -> list[Job]:
    """Buffer changes, queue jobs and move the position; return the records jobs that this queued.

    `nudged`: the caller launches these once they are due. Lenses without an index are left out:
    their first ingest reads the table as it is by then.
    Raises `ReadersChanged`, and `Fenced` when another process has the feed.
    """
    # Within the transaction: a lens that is pushed later begins to read the table after it.
    if feeds.readership(db, source.env_id, source.name) != source.readership:
        raise ReadersChanged
    kept: Mapping[int, Lens] = {
        lens.id: lens for lens, _ in source.lenses if lens.id in source.readership.indexed
    }
    number, queued = 0, list[Job]()
    # By number, as all who hold several lenses at once.
    for lens_id in sorted(kept.keys() & (told.changes.keys() | told.syncs)):
        if of_lens := told.changes.get(lens_id):
            number += len(of_lens)
            changes.append(db, lens_id, list(of_lens.items()), now)
            job = request_soon(
                db,
                kept[lens_id],
                Mode.RECORDS,
                debounce=kept[lens_id].config.debounce,
                job_id=new_id(),
                origin=ORIGIN,
                now=now,
                nudged=nudged,
            )
            queued += [job] if job is not None else []
        if lens_id in told.syncs:
            jobs.request(
                db, kept[lens_id], Mode.SMART_SYNC, job_id=new_id(), origin=ORIGIN, now=now
            )
    if batch.restarted is not None:
        feeds.restarted(db, feed, batch.restarted, now)
    feeds.advance(db, feed, batch.position, number, now)
    return queued


def _keys(
    of_table: Sequence[RowChange], reading: Reading, columns: Watched, bridge: Bridge
) -> list[tuple[str, Action]]:
    """Return the key texts that changes of a table mean for a reading, in their order."""
    order = columns[reading.table]
    places = [order.index(name) for name in reading.key]
    rows, actions = [], []
    for change in of_table:
        parts = [change.row[place] for place in places]
        if None not in parts:
            rows.append([part for part in parts if part is not None])
            actions.append(change.action)
    return list(zip(bridge.spell(reading.selection, rows), actions, strict=True))


def _can_be_told(key: str) -> bool:
    """Say whether the buffer takes a key, as the webhook would; a smart sync finds the others."""
    return len(key) <= MAX_ID_CHARACTERS and "\0" not in key


def _tell_parents(
    told: dict[str, Action], joined: Joined, keys: Sequence[tuple[str, Action]], bridge: Bridge
) -> bool:
    """Tell of the rows that join changed ones; say whether that was all of them.

    They are looked up as the source is now. A row that came to join one since is told by itself.
    """
    ids = list(dict.fromkeys(key for key, _ in keys))
    room = MOST_PARENTS
    for parents in bridge.parents_of(joined.rows, joined.name, ids):
        room -= len(parents)
        if room < 0 or not all(map(_can_be_told, parents)):
            return False
        for key in parents:
            told.setdefault(key, Action.UPSERT)
    return joined.tells_gone or all(action is Action.UPSERT for _, action in keys)
