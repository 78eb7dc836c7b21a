"""A table on a PostgreSQL that decodes its log, a lens over it, and a follower beside the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import psycopg

from semilayer_pipelines.follow.feed import Setup
from semilayer_pipelines.follow.follower import Follower
from semilayer_pipelines.follow.kinds import open_setup
from semilayer_pipelines.follow.readers import followed_sources, readings_of, watched
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry import changes, feeds, jobs, lenses
from semilayer_pipelines.registry.feeds import FeedRow
from semilayer_pipelines.registry.jobs import Job, Mode
from tests.lab import ENV, Lab
from tests.patience import PATIENCE_SECONDS, eventually

SILENCE = timedelta(seconds=1)
OFTEN = {"READ_SECONDS": 0.1, "RENEW_SECONDS": 0.1, "STANDBY_SECONDS": 0.05}
"""Waits of `follow.follower` as tests have them: what it finds is the same."""

FIELDS = {"name": {"type": "text", "searchable": True}}


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
        made = cls(lab, db)
        made.push(**lens)
        return made

    @classmethod
    def of(cls, folder: Path, kind: str, url: str) -> Site:
        """Push a lens over the table `items` of any database, without a connection to it."""
        lab = Lab.opened(folder, {})
        lab.connection, lab.cdc = url, {"cdc": kind}
        made = cls(lab, cast("psycopg.Connection", None))
        made.push()
        return made

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
    def followed(self, project: Project | None = None) -> Iterator[None]:
        """Follow in a thread; it has ended afterwards."""
        stop = threading.Event()
        follower = Follower(project or self.lab.project, ENV, "main", stop, silence=SILENCE)
        thread = threading.Thread(target=follower.run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def push(self, *others: str, **lens: object) -> None:
        """Push the lens with these keys, and others just like it."""
        self.lab.push(*others, fields=FIELDS, **lens)

    def caught_up(self) -> None:
        """Wait until everything that is committed by now is buffered."""
        [(now,)] = self.db.execute(
            "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint"
        ).fetchall()
        self.db.execute("UPDATE items SET other = 1 WHERE id = (SELECT min(id) FROM items)")
        eventually(lambda: self.read_to() > now)

    def read_to(self) -> int:
        """Return the log position that the registry has."""
        position = self.feed().position
        return 0 if position is None else int(json.loads(position)["lsn"])

    def confirmed(self) -> int:
        """Return the log position that the server was told of."""
        [(lsn,)] = self.db.execute(
            "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint FROM pg_replication_slots "
            "WHERE slot_name = %s",
            (self.feed().name,),
        ).fetchall()
        return int(lsn)

    def until_told(self, number: int) -> None:
        """Wait until so many changes were buffered for the lens."""
        eventually(lambda: len(self.told()) >= number)

    def told(self, lens: str = "items") -> list[tuple[str, str]]:
        """Return (key, action) of every change that was buffered for a lens, in order."""
        with self.lab.project.registry.read() as db:
            lens_id = lenses.get(db, ENV, lens).id
            found = changes.since(db, lens_id, 0, 10_000)
        return [(change.key, change.action.value) for change in found]

    def queued(self) -> list[Job]:
        """Return the jobs of the lens that wait."""
        with self.lab.project.registry.read() as db:
            return jobs.queued(db, self.lab.lens.id)

    def syncs(self) -> int:
        """Return how many smart syncs wait."""
        return sum(job.mode is Mode.SMART_SYNC for job in self.queued())

    def do_syncs(self) -> None:
        """Let the smart syncs that wait be done."""
        for job in self.queued():
            if job.mode is Mode.SMART_SYNC:
                self.lab.run(job)


__all__ = ["FIELDS", "OFTEN", "SILENCE", "Site"]
