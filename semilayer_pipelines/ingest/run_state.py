"""One run of a job: who it is, whether it may go on, and what it has done so far.

A run holds a lease: on its job or, for a full ingest, on a shard. A thread renews it while the run
works, and so does every write, in the registry and under the index's lock: a run that fell silent
may be taken over, and when it wakes up it finds out (`Fenced`) before it has written anything.
Pausing is a row in the registry that is read between pages, and so is a new configuration.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from sqlalchemy import Connection

from semilayer_pipelines.counts import Counts, Speed
from semilayer_pipelines.errors import Fenced, SemilayerError
from semilayer_pipelines.project import Clock
from semilayer_pipelines.registry import lenses, page_log
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = ["HEARTBEAT_SECONDS", "LEASE", "Beat", "Heartbeat", "PageDone", "Run", "StartOver"]

HEARTBEAT_SECONDS = 5.0
LEASE = timedelta(seconds=30)
"""A run that was silent for longer may be taken over; six heartbeats."""

PAUSE_CHECK_SECONDS = 0.2

Beat = Callable[[Connection], bool]
"""Renews a lease; returns False once it is lost."""


class StartOver(Exception):
    """What the run goes by is no longer so: its generation was replaced, its lens pushed anew."""


@dataclass(frozen=True)
class PageDone:
    """What the last page did, and the run so far.

    `expected_rows` are those of the whole walk; `before` is how many earlier runs of it have read.
    """

    job_id: str
    shard: int
    page: int
    counts: Counts
    total: Counts
    seconds: float
    expected_rows: int | None
    before: int

    @property
    def speed(self) -> Speed:
        """How fast this page went, and how long the rest takes at that."""
        done = self.before + self.total.read
        rows_left = None if self.expected_rows is None else self.expected_rows - done
        return Speed.of(self.counts, self.seconds, rows_left=rows_left)


@dataclass
class EmbeddingWork:
    """What embedding took so far, the first texts left out: the model loads with them."""

    texts: int = 0
    tokens: int = 0
    seconds: float = 0.0
    _warm: bool = False

    def add(self, texts: int, tokens: int, seconds: float) -> None:
        """Add a page."""
        if self._warm:
            self.texts += texts
            self.tokens += tokens
            self.seconds += seconds
        self._warm = self._warm or texts > 0


@dataclass
class Run:
    """The state of one run; made by `jobs.run_job`, handed to the mode."""

    registry: Registry
    clock: Clock
    lens_id: int
    job_id: str
    run_id: str | None
    lease: str
    report: Callable[[PageDone], None]
    confirmed: bool = False
    had_failed_rows: bool = False
    expected_rows: int | None = None
    rows_before: int = 0
    counts: Counts = field(default_factory=Counts)
    embedding: EmbeddingWork = field(default_factory=EmbeddingWork)
    fenced: bool = False
    pages: int = 0
    config_hash: str | None = None
    leases: list[Beat] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _pause_checked: float = field(default=0.0)
    _was_paused: bool = field(default=False)

    def page_done(self, shard: int, counts: Counts, seconds: float, cursor: str | None) -> None:
        """Add a page to the run's numbers, keep it in the registry's log and report it."""
        self.counts += counts
        self.pages += 1
        with self.registry.begin() as db:
            page_log.record(
                db,
                self.job_id,
                shard=shard,
                page=self.pages,
                rows=counts.read,
                counts=counts,
                seconds=seconds,
                cursor=cursor,
                now=self.clock(),
            )
        self.report(
            PageDone(
                self.job_id,
                shard,
                self.pages,
                counts,
                self.counts,
                seconds,
                self.expected_rows,
                self.rows_before,
            )
        )

    def add(self, counts: Counts) -> None:
        """Add work that belongs to no page, such as deletes after a walk."""
        self.counts += counts

    def check_fence(self, db: Connection) -> None:
        """Renew every lease, in a transaction that may write; raise `Fenced` when one is lost."""
        self.fenced = self.fenced or not all(beat(db) for beat in self.leases)
        self._refuse_if_fenced()

    def _refuse_if_fenced(self) -> None:
        if self.fenced:
            raise Fenced("Another run has taken over this job.", cure="Nothing needs to be done.")

    def paused(self) -> bool:
        """Say whether somebody paused the lens; asks the registry at most five times a second.

        Once paused, a run stays so: every step on its way out has to hear the same answer. Raises
        `StartOver` when the lens has another configuration than the run began with.
        """
        self._refuse_if_fenced()
        now = time.monotonic()
        if self._was_paused or now - self._pause_checked < PAUSE_CHECK_SECONDS:
            return self._was_paused
        self._pause_checked = now
        with self.registry.read() as db:
            lens = lenses.by_id(db, self.lens_id)
        self._was_paused = lens.status is LensStatus.PAUSED
        if not self._was_paused and self.config_hash not in (None, lens.config_hash):
            raise StartOver
        return self._was_paused


class Heartbeat:
    """Holds a lease for a block: renewed in a thread, and before every write of the run."""

    def __init__(self, run: Run, beat: Beat) -> None:
        self._run = run
        self._beat = beat
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._run.leases.append(self._beat)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._run.leases.remove(self._beat)

    def _loop(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                with self._run.registry.begin() as db:
                    alive = self._beat(db)
            except SemilayerError:
                # A registry that is away for a moment costs one beat; the lease outlasts five.
                continue
            if not alive:
                self._run.fenced = True
                return
