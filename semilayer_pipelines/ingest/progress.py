"""What a run has done so far, page by page: added up, kept in the registry's log and reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from semilayer_pipelines.counts import Counts, Speed
from semilayer_pipelines.project import Clock
from semilayer_pipelines.registry import page_log
from semilayer_pipelines.registry.database import Registry

__all__ = ["PageDone", "Progress"]


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


class Progress:
    """The numbers of one run of a job; `report` is called after every page."""

    def __init__(
        self, registry: Registry, clock: Clock, job_id: str, report: Callable[[PageDone], None]
    ) -> None:
        self.counts = Counts()
        self.embedding = EmbeddingWork()
        self._registry = registry
        self._clock = clock
        self._job_id = job_id
        self._report = report
        self._pages = 0
        self._expected_rows: int | None = None
        self._before = 0
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    def expect(self, rows: int | None, *, before: int) -> None:
        """Note how many rows the whole walk has, and how many of them earlier runs have read."""
        self._expected_rows, self._before = rows, before

    def add(self, counts: Counts) -> None:
        """Add work that belongs to no page, such as deletes after a walk."""
        self.counts += counts

    def page_done(self, shard: int, counts: Counts, seconds: float, cursor: str | None) -> None:
        """Add a page, keep it in the registry's log and report it."""
        self.counts += counts
        self._pages += 1
        self._registry.transact(
            lambda db: page_log.record(
                db,
                self._job_id,
                shard=shard,
                page=self._pages,
                rows=counts.read,
                counts=counts,
                seconds=seconds,
                cursor=cursor,
                now=self._clock(),
            )
        )
        self._report(
            PageDone(
                self._job_id,
                shard,
                self._pages,
                counts,
                self.counts,
                seconds,
                self._expected_rows,
                self._before,
            )
        )
