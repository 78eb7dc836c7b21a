"""An installed outbox as a test sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from semilayer_pipelines.follow.feed import Batch, Watched
from semilayer_pipelines.follow.outbox.feed import OutboxFeed
from semilayer_pipelines.follow.outbox.setup import OutboxSetup
from semilayer_pipelines.follow.postgres import Session
from tests.sources import SourceDatabase

ITEMS: Watched = {"items": ("id",)}


@dataclass
class Outbox:
    """The outbox of a source for some tables; feeds of it go on where the last one ended."""

    source: SourceDatabase
    watched: Watched
    name: str = field(default_factory=lambda: f"semilayer_{uuid4().hex[:8]}")
    position: str | None = None

    def session(self) -> Session:
        return Session(self.source.url, source="shop", cdc="outbox", timeout_ms=30_000)

    def setup(self) -> OutboxSetup:
        return OutboxSetup(self.session(), self.name, self.watched)

    def install(self) -> None:
        setup = self.setup()
        setup.run(setup.to_install())
        setup.close()

    def uninstall(self) -> None:
        setup = self.setup()
        setup.run(setup.to_uninstall())
        setup.close()

    def feed(self) -> OutboxFeed:
        return OutboxFeed(self.session(), self.name, self.watched, self.position)

    def drained(self) -> list[Batch]:
        """Read, keep and confirm what there is."""
        feed = self.feed()
        batches: list[Batch] = []
        while batch := feed.read(0):
            self.position = batch.position
            feed.confirm(batch.position)
            batches.append(batch)
        feed.close()
        return batches

    def changes(self) -> list[tuple[str, ...]]:
        """Drain; return the action and the key's parts of each change."""
        return self.told()[0]

    def told(self) -> tuple[list[tuple[str, ...]], dict[str, str]]:
        """Drain; return the action and the key's parts of each change, and what was missed."""
        batches = self.drained()
        missed = {table: why for batch in batches for table, why in batch.missed.items()}
        changes = [change for batch in batches for change in batch.changes]
        return [(change.action.value, *map(str, change.row)) for change in changes], missed

    def missed(self) -> dict[str, str]:
        """Drain; return the tables of which something was missed."""
        return self.told()[1]

    def left(self) -> int:
        """Return how many notes are in the outbox."""
        session = self.session()
        found = session.rows(f"SELECT count(*) FROM {self.name}.changes")[0][0]
        session.close()
        return int(found)


@contextmanager
def installed(source: SourceDatabase, watched: Watched = ITEMS) -> Iterator[Outbox]:
    """Install an outbox and read that reading begins; take it away afterwards."""
    outbox = Outbox(source, watched)
    outbox.install()
    outbox.drained()
    try:
        yield outbox
    finally:
        outbox.uninstall()
