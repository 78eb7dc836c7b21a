"""A database whose log is decoded, and feeds over it that are read up to what is committed."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from semilayer_pipelines.follow.feed import Batch, RowChange, Watched
from semilayer_pipelines.follow.logical.feed import LogicalFeed
from semilayer_pipelines.follow.logical.server import Server
from semilayer_pipelines.follow.logical.setup import LogicalSetup
from semilayer_pipelines.follow.postgres import Session

NAME = "semilayer_test"
MARKS = "marks"
PLENTY = 10**12


@dataclass
class Log:
    """A database; `db` is the application's connection. `marks` tells how far a feed has read."""

    url: str
    db: psycopg.Connection
    batches: list[Batch] = field(default_factory=list)
    marked: int = 0

    def server(self, options: str = "") -> Server:
        url = self.url + (f"?options={options}" if options else "")
        return Server(Session(url, source="shop", cdc="logical", timeout_ms=20_000))

    def setup(self, watched: Watched) -> LogicalSetup:
        return LogicalSetup(self.server(), NAME, watched)

    def install(self, watched: Watched) -> None:
        setup = self.setup({**watched, MARKS: ("id",)})
        setup.run(setup.to_install())
        setup.close()

    def uninstall(self) -> None:
        setup = self.setup({})
        setup.run(setup.to_uninstall())
        setup.close()

    def feed(
        self,
        watched: Watched,
        position: str | None = None,
        *,
        most: int = PLENTY,
        options: str = "",
    ) -> LogicalFeed:
        return LogicalFeed(self.server(options), NAME, {**watched, MARKS: ("id",)}, position, most)

    def read(self, feed: LogicalFeed) -> list[RowChange]:
        """Return every change that is committed by now, but those of `marks`."""
        self.marked += 1
        self.db.execute("INSERT INTO marks VALUES (%s)", (self.marked,))
        found: list[RowChange] = []
        self.batches = []
        for _ in range(200):
            batch = feed.read(1.0)
            if batch is None:
                continue
            self.batches.append(batch)
            if batch.restarted is not None:  # the mark was in the log that was let go
                self.marked += 1
                self.db.execute("INSERT INTO marks VALUES (%s)", (self.marked,))
            marks = [change.row for change in batch.changes if change.table == MARKS]
            found += [change for change in batch.changes if change.table != MARKS]
            if (str(self.marked),) in marks:
                return found
        raise AssertionError("what was committed never came")

    def missed(self) -> dict[str, str]:
        """Return what the batches of the last `read` said of tables, but `marks`."""
        told = {name: why for batch in self.batches for name, why in batch.missed.items()}
        return {name: why for name, why in told.items() if name != MARKS}

    def restarted(self) -> list[str]:
        """Return why the feed started over, as far as the last `read` saw."""
        return [batch.restarted for batch in self.batches if batch.restarted is not None]

    @property
    def position(self) -> str:
        """The position of the last batch."""
        return self.batches[-1].position

    def confirmed(self) -> int:
        [(lsn,)] = self.db.execute(
            "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint FROM pg_replication_slots "
            "WHERE slot_name = %s",
            (NAME,),
        ).fetchall()
        return int(lsn)
