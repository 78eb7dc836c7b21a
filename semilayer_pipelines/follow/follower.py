"""Follows one source: reads its feed, buffers the changes with the position, then confirms it.

It may be killed at any instruction. What was confirmed is buffered, and what was not is read again
from the position that the registry has. Of several processes one follows, and the others stand by.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from semilayer_pipelines.bridges.protocol import Bridge
from semilayer_pipelines.errors import Fenced, RegistryUnavailable, SemilayerError
from semilayer_pipelines.follow.buffer import ForLenses, ReadersChanged, for_lenses, keep
from semilayer_pipelines.follow.feed import Batch, Feed
from semilayer_pipelines.follow.kinds import open_feed
from semilayer_pipelines.follow.launcher import Launcher
from semilayer_pipelines.follow.readers import (
    FollowedSource,
    Reading,
    followed_source,
    left_out,
    read_by,
    readings_of,
    watched,
)
from semilayer_pipelines.ingest.lease import Lease
from semilayer_pipelines.ingest.outlook import unexpected
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import environments, feeds, sources
from semilayer_pipelines.registry.feeds import FeedRow

__all__ = ["Follower"]

logger = logging.getLogger(__name__)

READ_SECONDS = 1.0
"""A feed without changes is asked for so long before its follower looks around."""

RENEW_SECONDS = 2.0
"""A follower gives a sign of life this often, and notes how far it is behind."""

STANDBY_SECONDS = 1.0
"""One that stands by looks this often whether it may follow."""

AWAY_SECONDS = 30.0
"""A table that cannot be read is looked for this often."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 30.0
"""The wait after a failure, and what it grows to."""


@dataclass
class Follower:
    """Follows the source of an environment until `stop` is set.

    `silence` is how long the holder of the lease may give no sign of life. Without a `launcher`
    jobs are left to Dagster's sensor.
    """

    project: Project
    env: str
    source: str
    stop: threading.Event
    silence: timedelta = feeds.LEASE
    launcher: Launcher | None = None
    _lease: str = field(default_factory=lambda: uuid4().hex)
    _said: str = ""
    _away: frozenset[tuple[int, str]] = frozenset()

    def run(self) -> None:
        """Follow until the source says `cdc` no more; what fails is noted, and tried again."""
        wait = FIRST_WAIT_SECONDS
        while not self.stop.is_set():
            held: FeedRow | None = None
            began = time.monotonic()
            try:
                if not self._is_to_be_followed():
                    return
                held = self._take()
                if held is None:
                    self.stop.wait(STANDBY_SECONDS)
                else:
                    self._follow(held)
            except ReadersChanged:
                self._say(f"source {self.source}: its lenses changed; it is read by the new ones.")
            except Fenced as error:
                self._say(str(error))
            except Exception as error:  # noqa: BLE001 - noted; it must not end other sources
                self._note(held, self._known(error))
                lasted = time.monotonic() - began > LONGEST_WAIT_SECONDS
                wait = FIRST_WAIT_SECONDS if lasted else min(2 * wait, LONGEST_WAIT_SECONDS)
                self.stop.wait(wait)
            finally:
                self._release(held)

    def _is_to_be_followed(self) -> bool:
        with self.project.registry.read() as db:
            env = environments.find(db, self.env)
            known = {} if env is None else sources.list_all(db, env.id)
        return self.source in known and known[self.source].cdc is not None

    def _take(self) -> FeedRow | None:
        """Take the lease; `None` while another process has it, and before anything is installed."""
        project = self.project
        with project.registry.begin() as db:
            env_id = environments.get(db, self.env).id
            row = feeds.get(db, env_id, self.source)
            if row is None or row.kind is not sources.get(db, env_id, self.source).cdc:
                told = f"source {self.source} waits to be installed: semilayer cdc install"
            else:
                held = feeds.take(db, row, self._lease, project.clock(), silence=self.silence)
                if held is not None:
                    return held
                told = f"source {self.source} is followed by another process; this one stands by."
        self._say(told)
        return None

    def _follow(self, row: FeedRow) -> None:
        """Read and keep until the process is to stop, or something fails."""
        project, lease = self.project, Lease(self.project.registry, self._lease)
        source = followed_source(project, self.env, self.source)
        if source is None:
            return
        # A batch, or a slot that is being made, may take longer than the lease.
        with (
            lease.kept(lambda db: feeds.renew(db, row, project.clock())),
            closing(project.bridge(source.name, source.config)) as bridge,
        ):
            readings = readings_of(source, bridge)
            feed = open_feed(project, source.config, row, watched(readings))
            with closing(feed):
                self._say(f"source {source.name}: following {len(watched(readings))} tables.")
                self._tell_returned(source, row, readings)
                self._pump(source, row, feed, readings, bridge)

    def _tell_returned(
        self, source: FollowedSource, row: FeedRow, readings: tuple[Reading, ...]
    ) -> None:
        """Queue a smart sync for lenses whose table could not be read when following began."""
        back = self._away & read_by(readings)
        self._away = left_out(source, readings)
        if back and row.position is not None:
            tables = {table for _, table in back}
            batch = Batch(row.position, missed=dict.fromkeys(tables, "it could not be read before"))
            told = ForLenses(syncs={lens_id for lens_id, _ in back})
            self._keep(source, row, batch, told)

    def _pump(
        self,
        source: FollowedSource,
        row: FeedRow,
        feed: Feed,
        readings: tuple[Reading, ...],
        bridge: Bridge,
    ) -> None:
        renewed = 0.0
        looked = time.monotonic()
        while not self.stop.is_set():
            batch = feed.read(READ_SECONDS)
            if batch is not None:
                self._keep(source, row, batch, for_lenses(batch, readings, bridge))
                feed.confirm(batch.position)
            if time.monotonic() - renewed > RENEW_SECONDS:
                lag = feed.lag()
                with self.project.registry.begin() as db:
                    feeds.note_lag(db, row, lag.size, lag.seconds, self.project.clock())
                    # Where nothing is written, a push shows here.
                    if feeds.readership(db, source.env_id, source.name) != source.readership:
                        raise ReadersChanged
                renewed = time.monotonic()
            if self._away and time.monotonic() - looked > AWAY_SECONDS:
                looked = time.monotonic()
                if readings_of(source, bridge) != readings:
                    raise ReadersChanged

    def _keep(self, source: FollowedSource, row: FeedRow, batch: Batch, told: ForLenses) -> None:
        project, launcher = self.project, self.launcher
        nudged = launcher is not None and launcher.can_watch()
        with project.registry.begin(durable=True) as db:
            queued = keep(
                db,
                source,
                row,
                batch,
                told,
                now=project.clock(),
                new_id=lambda: uuid4().hex,
                nudged=nudged,
            )
        if launcher is not None:
            for job in queued:
                launcher.watch(job.id, job.due_at)
        if batch.restarted is not None:
            logger.warning(
                "source %s: %s Following started over, and smart syncs are queued.",
                source.name,
                batch.restarted,
            )
        for table, why in batch.missed.items():
            logger.info("source %s: %s: %s; a smart sync is queued.", source.name, table, why)

    def _known(self, error: Exception) -> SemilayerError:
        if isinstance(error, SemilayerError):
            return error
        logger.error("source %s: an error that nobody expected", self.source, exc_info=error)
        return unexpected(error)

    def _note(self, row: FeedRow | None, error: SemilayerError) -> None:
        self._say(redact(str(error)))
        if row is None:
            return
        try:
            with self.project.registry.begin() as db:
                feeds.note_trouble(db, row, redact(error.message), redact(error.cure))
        except (RegistryUnavailable, Fenced) as failure:
            self._say(redact(str(failure)))

    def _release(self, row: FeedRow | None) -> None:
        if row is None:
            return
        try:
            with self.project.registry.begin() as db:
                feeds.release(db, row)
        except RegistryUnavailable as failure:
            self._say(redact(str(failure)))  # the lease runs out by itself

    def _say(self, told: str) -> None:
        """Log what is not what was said last."""
        if told != self._said:
            self._said = told
            logger.info("%s", told)
