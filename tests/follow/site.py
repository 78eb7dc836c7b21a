"""A table on a PostgreSQL that decodes its log, a lens over it, and a follower beside the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg

from semilayer_pipelines.follow.feed import Setup
from semilayer_pipelines.follow.follower import Follower
from semilayer_pipelines.follow.kinds import open_setup
from semilayer_pipelines.follow.readers import followed_sources, readings_of, watched
from semilayer_pipelines.registry import changes, feeds, jobs
from semilayer_pipelines.registry.changes import Action
from semilayer_pipelines.registry.feeds import FeedRow
from semilayer_pipelines.registry.jobs import Mode
from tests.lab import ENV, Lab

SILENCE = timedelta(seconds=1)


@dataclass
class Site:
    """A lab whose source is followed; `db` is the application's connection, in autocommit."""

    lab: Lab
    db: psycopg.Connection

    @classmethod
    def at(cls, folder: Path, url: str, db: psycopg.Connection, **lens: object) -> Site:
        """Push a lens over the table `items`."""
        lab = Lab.opened(folder, {})
        lab.connection = url.replace("postgresql+psycopg", "postgresql")
        lab.cdc = {"cdc": "logical"}
        fields = {"name": {"type": "text", "searchable": True}}
        lab.push(fields=fields, **lens)
        return cls(lab, db)

    def feed(self) -> FeedRow:
        with self.lab.project.registry.read() as db:
            found = feeds.get(db, self.lab.lens.env_id, "main")
        assert found is not None
        return found

    @contextmanager
    def setup(self) -> Iterator[Setup]:
        project = self.lab.project
        [source] = followed_sources(project, ENV)
        assert source.config.cdc is not None
        with project.registry.begin() as db:
            row = feeds.ensure(db, source.env_id, source.name, source.config.cdc)
        bridge = project.bridge(source.name, source.config)
        setup = open_setup(project, source.config, row, watched(readings_of(source, bridge)))
        bridge.close()
        try:
            yield setup
        finally:
            setup.close()

    def install(self) -> None:
        with self.setup() as setup:
            setup.run(setup.to_install())

    def uninstall(self) -> None:
        with self.setup() as setup:
            setup.run(setup.to_uninstall())

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow in a thread; it has ended afterwards."""
        stop = threading.Event()
        follower = Follower(self.lab.project, ENV, "main", stop, silence=SILENCE)
        thread = threading.Thread(target=follower.run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()

    def caught_up(self) -> None:
        """Wait until everything that is committed by now is buffered."""
        [(now,)] = self.db.execute(
            "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint"
        ).fetchall()
        self.db.execute("SELECT pg_logical_emit_message(false, 'semilayer', 'on')")
        self.db.execute("INSERT INTO marks VALUES (1)")
        eventually(lambda: self._read_to() >= now)

    def _read_to(self) -> int:
        import json

        position = self.feed().position
        return 0 if position is None else int(json.loads(position)["lsn"])

    def told(self) -> list[tuple[str, str]]:
        """Return (key, action) of every change that was buffered, in order."""
        with self.lab.project.registry.read() as db:
            found = changes.since(db, self.lab.lens.id, 0, 10_000)
        return [(change.key, change.action.value) for change in found]

    def syncs(self) -> int:
        """Return how many smart syncs wait."""
        with self.lab.project.registry.read() as db:
            return sum(j.mode is Mode.SMART_SYNC for j in jobs.queued(db, self.lab.lens.id))

    def forget(self) -> None:
        """Let the smart syncs that wait be done."""
        with self.lab.project.registry.read() as db:
            waiting = jobs.queued(db, self.lab.lens.id)
        for job in waiting:
            self.lab.run(job)


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


__all__ = ["Action", "Site", "eventually"]
