"""Filling one shard of a new generation, page by page.

A run that died leaves its shard's cursor behind, and the next one goes on from there: what it finds
in the shard already is compared, not appended again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import polars as pl
from sqlalchemy import Connection

from semilayer_pipelines.bridges.protocol import Window
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.errors import Fenced, IndexDamaged
from semilayer_pipelines.ingest.first_walk import FirstWalk
from semilayer_pipelines.ingest.known_rows import KnownRows
from semilayer_pipelines.ingest.lease import LEASE
from semilayer_pipelines.ingest.open_lens import OpenLens
from semilayer_pipelines.ingest.page import Page
from semilayer_pipelines.ingest.page_size import PageSize
from semilayer_pipelines.ingest.pipelined import apply_pages
from semilayer_pipelines.ingest.run_state import Run
from semilayer_pipelines.ingest.target import Target
from semilayer_pipelines.ingest.walk import shard_window, walk
from semilayer_pipelines.mapping.mapped import Mapped
from semilayer_pipelines.registry import generations, shards
from semilayer_pipelines.registry.generations import Generation
from semilayer_pipelines.registry.shards import Shard
from semilayer_pipelines.stores.chunks.protocol import RowIndex

__all__ = ["active_index", "claim", "fill", "fill_range", "held"]

logger = logging.getLogger(__name__)


def claim(opened: OpenLens, run: Run, generation: Generation, number: int | None) -> Shard | None:
    """Take a shard that nobody fills, the one of this number or the first; `None` without one."""
    now = opened.clock()
    return opened.registry.transact(
        lambda db: shards.claim(
            db,
            generation.id,
            number=number,
            lease=run.lease.token,
            run_id=run.run_id,
            now=now,
            stale_before=now - LEASE,
        )
    )


def fill(
    opened: OpenLens, run: Run, generation: Generation, shard: Shard, first: FirstWalk
) -> None:
    """Walk a claimed shard from its cursor to its end, or until the lens is paused.

    `first` takes note of what is seen.
    """
    finished = Event()
    with held(opened, run, shard, finished):
        fill_range(opened, run, generation, shard, first, finished)


def fill_range(
    opened: OpenLens,
    run: Run,
    generation: Generation,
    shard: Shard,
    first: FirstWalk,
    finished: Event,
    upto: str | None = None,
) -> None:
    """Walk a shard that is held from its cursor to a key, or to its end, or until it is paused."""
    target = Target(opened, generation, sole_writer=True)
    reuse = active_index(opened)
    window = shard_window(generation.bounds, shard.number)
    window = Window(after=shard.cursor or window.after, upto=upto or window.upto)
    page_size = PageSize()
    pages = walk(first.begin(opened, shard), window, shard.number, page_size)
    apply_pages(
        opened,
        run,
        target,
        (replace(page, cursor=page.cursor or upto) for page in pages),
        ShardRows(opened, run, shard, _known(target, shard), reuse, finished, first),
        page_size=page_size,
    )


class ShardRows:
    """Every row of a claimed shard; the shard's cursor moves with each page."""

    def __init__(
        self,
        opened: OpenLens,
        run: Run,
        shard: Shard,
        known: KnownRows,
        reuse: RowIndex | None,
        finished: Event,
        first: FirstWalk,
    ) -> None:
        """Begin where earlier runs left the shard: `known` is what they wrote of it.

        `finished` is set once the shard is filled to its end.
        """
        self._opened = opened
        self._run = run
        self._shard = shard
        self._counts = shard.counts
        self._known = known
        self._reuse = reuse
        self._finished = finished
        self._first = first
        self._covered: Page | None = None

    def compare(self, page: Page, mapped: Mapped) -> pl.Series:
        """Look the rows up among what earlier runs wrote."""
        self._first.saw(self._opened, page, mapped)
        return self._known.compare(mapped.frame)

    def may_hold(self, keys: pl.Series) -> pl.Series:
        """Say which of the keys earlier runs wrote."""
        return self._known.holds(keys)

    def take_out(self, keys: Sequence[str]) -> Sequence[str]:
        """Take all of them out: the index is not in use yet."""
        return keys

    def reuse_from(self) -> RowIndex | None:
        """Take vectors over from the index in use, which the new one will replace."""
        return self._reuse

    def cover(self, db: Connection, page: Page, counts: Counts) -> None:
        """Move the shard's cursor to the end of the page, or note that it is filled."""
        of = (db, self._shard.generation_id, self._shard.number)
        lease, now = self._run.lease.token, self._opened.clock()
        if page is not self._covered:  # a commit whose connection was lost is made again
            self._covered, self._counts = page, self._counts + counts
        if page.cursor is None:
            held = shards.finish(*of, lease=lease, counts=self._counts, now=now)
        else:
            held = shards.advance(
                *of, lease=lease, cursor=page.cursor, counts=self._counts, now=now
            )
        if not held:
            raise Fenced(
                f"Another run has taken over shard {self._shard.number}.",
                lens=self._opened.lens.name,
            )
        if page.cursor is None:
            self._finished.set()


def _known(target: Target, shard: Shard) -> KnownRows:
    """Return what earlier runs wrote of a claimed shard.

    Read under the lock: one that is stopped in the middle of a write ends it before, and any later
    one finds its lease lost.
    """
    if target.index is None:
        return KnownRows(())
    with target.index.lock():
        return KnownRows(target.index.scan(shard=shard.number))


@contextmanager
def held(opened: OpenLens, run: Run, shard: Shard, finished: Event) -> Iterator[None]:
    """Renew the claim on a shard until it is finished, and give it back however the block ends."""

    def beat(db: Connection) -> bool:
        return finished.is_set() or shards.beat(
            db, shard.generation_id, shard.number, lease=run.lease.token, now=opened.clock()
        )

    try:
        with run.lease.kept(beat):
            yield
    finally:
        # No error to catch: Dagster's cancel is a BaseException, and a finished shard is not held.
        with opened.registry.begin() as db:
            shards.release(
                db, shard.generation_id, shard.number, lease=run.lease.token, now=opened.clock()
            )


def active_index(opened: OpenLens) -> RowIndex | None:
    """Return the index in use, when its vectors are of the same model and can be taken over."""
    with opened.registry.read() as db:
        active = generations.active(db, opened.lens.id)
    if active is None or active.model_fingerprint != opened.embedder.fingerprint:
        return None
    try:
        return Target(opened, active).index
    except IndexDamaged as error:
        logger.warning("%s Its vectors cannot be taken over.", error.message)
        return None
