"""A binary log as a test sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from sqlalchemy.engine import make_url

from semilayer_pipelines.follow.binlog.feed import BinlogFeed
from semilayer_pipelines.follow.binlog.server import Server
from semilayer_pipelines.follow.binlog.setup import BinlogSetup
from semilayer_pipelines.follow.feed import Batch, RowChange, Watched
from tests.patience import PATIENCE_SECONDS
from tests.sources import SourceDatabase

ITEMS: Watched = {"items": ("id",)}


@dataclass
class Binlog:
    """The log of a source for some tables; feeds of it go on where the last one ended."""

    source: SourceDatabase
    watched: Watched
    url: str = ""
    name: str = field(default_factory=lambda: f"semilayer_{uuid4().hex[:8]}")
    position: str | None = None
    batches: list[Batch] = field(default_factory=list)

    def server(self) -> Server:
        # Without TLS: to load the machine's certificates takes longer than all else here.
        url = make_url(self.url or self.source.url).update_query_dict({"sslmode": "DISABLED"})
        written = url.render_as_string(hide_password=False)
        return Server(written, source="shop", timeout_ms=30_000)

    def feed(self) -> BinlogFeed:
        return BinlogFeed(self.server(), self.server(), self.name, self.watched, self.position)

    def findings(self) -> list[tuple[str, bool]]:
        setup = BinlogSetup(self.server(), self.watched)
        found = [(finding.told, finding.stops) for finding in setup.findings()]
        setup.close()
        return found

    def read(self) -> list[Batch]:
        """Read what was committed by now, and keep it."""
        server = self.server()
        end = server.position()
        server.close()
        feed = self.feed()
        found: list[Batch] = []
        try:
            for _ in range(100):
                if self.position == end:
                    return found
                batch = feed.read(PATIENCE_SECONDS)
                assert batch is not None, f"nothing comes between {self.position} and {end}"
                self.position = batch.position
                found.append(batch)
        finally:
            feed.close()
        raise AssertionError("it never ends")

    def told(self) -> tuple[list[tuple[str, ...]], dict[str, str]]:
        """Read; return the action and key of each change, and what was missed."""
        batches = self.read()
        changes: list[RowChange] = [one for batch in batches for one in batch.changes]
        missed = {table: why for batch in batches for table, why in batch.missed.items()}
        return [(one.action.value, *map(str, one.row)) for one in changes], missed

    def changes(self) -> list[tuple[str, ...]]:
        changes, missed = self.told()
        assert missed == {}
        return changes

    def missed(self) -> dict[str, str]:
        return self.told()[1]


@contextmanager
def begun(source: SourceDatabase, watched: Watched = ITEMS) -> Iterator[Binlog]:
    """A log of which everything up to now was read."""
    binlog = Binlog(source, watched)
    binlog.read()
    yield binlog
