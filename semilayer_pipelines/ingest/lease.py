"""The lease that a run holds: on its job or, for a full ingest, on a shard.

A thread renews it while the run works, and so does every write, in the registry and under the
index's lock. A run that fell silent may be taken over; when it wakes up it finds out (`Fenced`)
before it has written anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Connection

from semilayer_pipelines.errors import Fenced, SemilayerError
from semilayer_pipelines.registry.database import Registry

__all__ = ["LEASE", "SILENCE", "Lease"]

HEARTBEAT_SECONDS = 5.0
LEASE = timedelta(seconds=30)
"""A run that was silent for longer may be taken over; six heartbeats."""

SILENCE = timedelta(seconds=45)
"""A running job whose heartbeat is older has lost its process; nine missed beats."""

Beat = Callable[[Connection], bool]
"""Renews what is held under a lease; returns False once it is lost."""


class Lease:
    """Everything that one run holds; `token` is what the registry knows the run by."""

    def __init__(self, registry: Registry, token: str) -> None:
        self.token = token
        self._registry = registry
        self._beats: list[Beat] = []
        self._lost = False

    @contextmanager
    def kept(self, beat: Beat) -> Iterator[None]:
        """Hold one thing more for a block: renewed in a thread, and before every write."""
        stop = threading.Event()
        renewing = threading.Thread(
            target=self._renew, args=(beat, stop), name="heartbeat", daemon=True
        )
        self._beats.append(beat)
        renewing.start()
        try:
            yield
        finally:
            stop.set()
            renewing.join()
            self._beats.remove(beat)

    def check(self, db: Connection) -> None:
        """Renew all that is held, in a transaction that may write; raise `Fenced` for a loss."""
        self._lost = self._lost or not all(beat(db) for beat in self._beats)
        self.refuse_if_lost()

    def refuse_if_lost(self) -> None:
        """Raise `Fenced` when a renewal has found that another run has taken over."""
        if self._lost:
            raise Fenced("Another run has taken over this job.", cure="Nothing needs to be done.")

    def _renew(self, beat: Beat, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            try:
                with self._registry.begin() as db:
                    alive = beat(db)
            except SemilayerError:
                # A registry that is away for a moment costs one beat; the lease outlasts five.
                continue
            if not alive:
                self._lost = True
                return
