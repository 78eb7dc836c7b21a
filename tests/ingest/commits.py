"""Transactions that overlap: a value is drawn when one begins, and seen when it is committed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from semilayer_pipelines.ingest.run_job import RunEnd, run_job
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import JobStatus, Mode
from tests.clock import Clock
from tests.lab import Lab
from tests.mortal import Died, Life, mortal
from tests.sources import SourceDatabase

__all__ = ["DRAWN", "EPOCHS", "LONGEST", "TIMES", "Application"]

LONGEST = 30
"""Seconds that a transaction stays open at most: what the overlap is made for."""

FIELDS = {"name": {"type": "text", "searchable": True}}

Draw = Callable[[datetime, int], object]

TIMES = ("time", "zoned time", "date", "ISO text")
"""Kinds that say by themselves that they are times: one writer's clock may be wrong."""

EPOCHS = ("epoch seconds", "epoch milliseconds", "decimal epoch", "float epoch", "text epoch")
"""Kinds that are numbers of seconds, or of parts of them."""

DRAWN: dict[str, tuple[str, Draw]] = {
    "time": ("moment", lambda now, _: f"{now:%Y-%m-%d %H:%M:%S.%f}"),
    "zoned time": ("zoned moment", lambda now, _: f"{now:%Y-%m-%d %H:%M:%S.%f}"),
    "date": ("DATE", lambda now, _: f"{now:%Y-%m-%d}"),
    "ISO text": ("text", lambda now, _: f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"),
    "number": ("BIGINT", lambda _, number: number),
    "epoch seconds": ("INTEGER", lambda now, _: int(now.timestamp())),
    "epoch milliseconds": ("BIGINT", lambda now, _: int(now.timestamp() * 1000)),
    "decimal epoch": ("DECIMAL(20,3)", lambda now, _: f"{now.timestamp():.3f}"),
    "float epoch": ("DOUBLE PRECISION", lambda now, _: now.timestamp()),
    "text epoch": ("text", lambda now, _: f"{now.timestamp():.0f}"),
    "binary version": ("binary", lambda _, number: number.to_bytes(8, "big")),
}
"""Kinds of tracked columns: the type (see `SourceDatabase.type`) and how a value is drawn."""


@dataclass
class Application:
    """Writes to a table through overlapping transactions, and walks it incrementally.

    A commit at the moment at which a transaction has been open for `LONGEST` is still in time.
    """

    source: SourceDatabase
    lab: Lab
    clock: Clock
    draw: Draw
    drawn: int = 1_000_000
    open: dict[int, tuple[datetime, object, str]] = field(default_factory=dict)
    named: dict[int, str] = field(default_factory=dict)

    @classmethod
    def over(cls, source: SourceDatabase, kind: str, lab: Lab, clock: Clock) -> Application:
        """Make the table, with one row, and index it."""
        declared, draw = DRAWN[kind]
        text = source.type("text")
        source.run(
            f"CREATE TABLE items (id INTEGER PRIMARY KEY, name {text}, at {source.type(declared)})"
        )
        app = cls(source, lab, clock, draw)
        app.begin(0, 0)
        app.commit()
        lab.connection = source.url
        lab.push(fields=FIELDS, changeTrackingColumn="at", embedding={"provider": "hash"})
        lab.full()
        return app

    def begin(self, id: int, seconds: float, *, ahead: timedelta = timedelta(0)) -> None:
        """Draw a value for a row in a transaction of so many seconds; one a row at a time.

        `ahead` is by how much the writer's clock is.
        """
        if id in self.open:
            return
        self.drawn += 1
        until = self.clock() + timedelta(seconds=seconds)
        self.open[id] = (until, self.draw(self.clock() + ahead, self.drawn), f"v{self.drawn}")

    def wait(self, seconds: int) -> None:
        """Let time pass, second by second, with the commits that fall into it."""
        for _ in range(seconds):
            self.clock.go_on(1)
            self.commit()

    def commit(self) -> None:
        """Commit what is to be committed by now, the last drawn first."""
        over = [id for id, (until, *_) in self.open.items() if until <= self.clock()]
        for id in reversed(over):
            _, value, name = self.open.pop(id)
            self._write(id, name, value)

    def _write(self, id: int, name: str, value: Any) -> None:
        self.source.run(f"DELETE FROM items WHERE id = {id}")
        self.source.insert("items", [(id, name, value)])
        self.named[id] = name

    def walk(self, *, dies_at: int | None = None, seconds_a_page: int = 0) -> None:
        """Walk in pages of two rows, each of which takes so long; check that no row was missed."""
        committed = dict(self.named)
        job = self.lab.request(Mode.INCREMENTAL)

        def step(what: str, life: Life) -> None:
            if what == "source.read_changed":
                self.wait(seconds_a_page)
            if dies_at is not None and len(life.steps) > dies_at:
                life.die()

        try:
            done = run_job(mortal(self.lab.project, Life(step), page_rows=2), job.id)
        except Died:
            self._give_up(job.id)
            return
        assert done.ended is RunEnd.COMPLETED
        assert self._missed(committed) == {}

    def _missed(self, committed: dict[int, str]) -> dict[int, str]:
        """Return the rows of which the index does not have the committed version.

        One that moved on during the walk may have been behind it: that is the next walk's.
        """
        missed = {}
        for id, name in committed.items():
            if self.named[id] != name:
                continue
            found = self.lab.index.get(str(id))
            if found is None or found["name"] != name:
                missed[id] = name
        return missed

    def _give_up(self, job_id: str) -> None:
        with self.lab.project.registry.begin() as db:
            job = jobs.get(db, job_id)
            jobs.finish(
                db,
                job_id,
                lease=job.lease,
                status=JobStatus.FAILED,
                counts=job.counts,
                now=self.clock(),
            )
