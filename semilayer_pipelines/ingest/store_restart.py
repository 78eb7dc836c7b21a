"""A restart of the store: noticed before every page, and what it took out of search is mended.

A server that crashes loses the rows that its vector index had not on disk yet. It holds them, it
counts them, and no search finds them. So each look at a store, under the write lock, notes which
start of it answered. When that is another, the rows written since the last look are searched for by
their own vectors, with the last ones before it. Those that are not found are written again with the
vectors they have.

The new start is noted when all of that is done, with the time from before it began. A run that dies
on the way leaves it to whoever comes next.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import ObjectsRejected, StoreUnavailable
from semilayer_pipelines.ingest.confirm_absent import in_chunks
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.retry import retrying
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.registry import store_watch
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.store_watch import Seen
from semilayer_pipelines.stores.protocol import OWN_CONNECTION, Index

__all__ = [
    "LOOKS",
    "Hidden",
    "Recovered",
    "find_hidden",
    "known",
    "look",
    "mend",
    "note_look",
    "recover",
    "restarted",
]

LOOKS = 4
"""How often a run looks for rows that one restart has hidden, and writes them again."""

_TURNS = 3  # after which writing again is of no use

NOTED_EVERY = timedelta(seconds=15)
"""A look that finds no restart is noted this often: the rows written since are searched for."""

logger = logging.getLogger(__name__)


def look(opened: OpenLens, index: Index) -> Seen | None:
    """Ask which start of the store answers; `None` where it does not tell."""
    at = opened.clock()
    incarnation = retrying(index.incarnation, StoreUnavailable)
    if incarnation is None:
        return None
    return Seen(incarnation, at, lasting=not incarnation.startswith(OWN_CONNECTION))


def known(generation: Generation, seen: Seen | None, own: Seen | None) -> Generation:
    """Return the generation with what was seen of its store before this look.

    That stands in the registry. What only a connection tells is `own`, the last look of this run.
    """
    if seen is None or seen.lasting:
        return generation
    before = (None, None) if own is None else (own.incarnation, own.at)
    return replace(generation, incarnation=before[0], watched_at=before[1])


def restarted(generation: Generation, seen: Seen | None) -> bool:
    """Say whether another start of the store was seen last under this generation."""
    return seen is not None and generation.incarnation not in (None, seen.incarnation)


def note_look(db: Connection, generation: Generation, seen: Seen | None) -> None:
    """Note a look under the write lock: the first one, and now and then one that found nothing."""
    if seen is None or not seen.lasting or restarted(generation, seen):
        return
    before = generation.watched_at
    # Either way: a clock that was set back gives rows times from before the last look.
    if before is None or abs(seen.at - before) > NOTED_EVERY:
        store_watch.note(db, generation.id, seen)


@dataclass(frozen=True)
class Hidden:
    """Rows that were found hidden under a start of the store."""

    incarnation: str
    keys: tuple[str, ...]

    def without(self, keys: Collection[str]) -> Hidden:
        """Return the same but for these keys."""
        return replace(self, keys=tuple(key for key in self.keys if key not in keys))


@dataclass(frozen=True)
class Recovered:
    """How many hidden rows are found again, and which are not, though they were written again."""

    rows: int = 0
    left: tuple[str, ...] = ()

    def __add__(self, other: Recovered) -> Recovered:
        return Recovered(self.rows + other.rows, self.left + other.left)


def find_hidden(
    opened: OpenLens, run: Run, index: Index, generation: Generation, seen: Seen
) -> Hidden:
    """Look for rows that a restart has hidden, without the lock: there may be a hundred thousand.

    Raises `Fenced` when another run has taken over, and what the store raises.
    """
    logger.warning(
        "The store was started again; looking for rows of %s that no search finds any more.",
        opened.lens.name,
    )
    keys = retrying(lambda: index.last_written(generation.watched_at), StoreUnavailable)
    retrying(index.settle, StoreUnavailable)
    hidden: list[str] = []
    for some in in_chunks(keys):
        run.lease.refuse_if_lost()
        hidden += retrying(partial(index.hidden, some), StoreUnavailable)
    return Hidden(seen.incarnation, tuple(hidden))


def mend(
    opened: OpenLens,
    run: Run,
    index: Index,
    generation: Generation,
    seen: Seen,
    hidden: Hidden,
    *,
    over: bool,
) -> tuple[str, ...]:
    """Write again what is still hidden; note the start of the store when that is `over`.

    Returns the keys that no search finds though they were written again. Under the write lock.
    Writing takes links from other rows, so somebody has to look once more.
    Raises `Fenced` when another run has taken over, and what the store raises.
    """
    recovered = Recovered()
    for some in in_chunks(hidden.keys):
        run.lease.refuse_if_lost()
        recovered += recover(index, some)

    def note(db: Connection) -> None:
        run.lease.check(db)
        if seen.lasting and over:
            store_watch.note(db, generation.id, seen)
        store_watch.note_recovered(db, generation.id, recovered.rows)

    opened.registry.transact(note)
    run.progress.add(Counts(recovered=recovered.rows))
    if recovered.rows:
        logger.warning(
            "%d rows of %s were hidden by a restart of the server; written again.",
            recovered.rows,
            opened.lens.name,
        )
    return recovered.left


def recover(index: Index, keys: Sequence[str]) -> Recovered:
    """Write those of these objects again that no search finds, until all are found.

    Under the lock. The links of a row that is written may cost another one its own, so the rows are
    asked for again, `_TURNS` times at most. One that the store rejects stays as it is, and is told
    in the log.
    """
    hidden = first = retrying(lambda: index.hidden(keys), StoreUnavailable)
    for _ in range(_TURNS):
        if not hidden:
            break
        _rewrite(index, hidden)
        retrying(index.settle, StoreUnavailable)
        hidden = retrying(partial(index.hidden, hidden), StoreUnavailable)
    return Recovered(len(first) - len(hidden), (*hidden,))


def _rewrite(index: Index, keys: Sequence[str]) -> None:
    try:
        retrying(lambda: index.rewrite(keys), StoreUnavailable)
    except ObjectsRejected as some:
        logger.warning("%s", some)
