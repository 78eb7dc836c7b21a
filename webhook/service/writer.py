"""The one thread of a server process that writes accepted calls to the registry.

Calls that wait while it commits share the next transaction. Each gets its response after the commit
that holds it, never before (invariant 2). A stop first writes all calls that were taken.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from semilayer_pipelines.control.accept import Accepted, Call, accept
from semilayer_pipelines.errors import RegistryUnavailable, SemilayerError
from semilayer_pipelines.project import Project
from semilayer_pipelines.registry.write_ahead import LogCopier
from webhook.service.problems import Code, Problem

__all__ = ["MAX_WAITING_CALLS", "MAX_WAITING_CHANGES", "Writer"]

logger = logging.getLogger(__name__)

GROUP_CALLS = 200
GROUP_CHANGES = 50_000
BUSY_CALLS = 8
GATHER_SECONDS = 0.003
MAX_WAITING_CALLS = 2_000
"""Calls that wait in one process to be written; more get 503, for they would only wait longer."""

MAX_WAITING_CHANGES = 200_000
"""Calls beyond these are turned away: they would only wait longer, and take memory."""

STOP_SECONDS = 30.0
"""What was accepted is written within this time when the service is told to stop."""


@dataclass(frozen=True)
class _PendingCall:
    call: Call
    loop: asyncio.AbstractEventLoop
    outcome: asyncio.Future[Accepted]


class Writer:
    """Takes calls from one event loop; `groups` and `calls` count what was committed."""

    def __init__(self, project: Project, *, nudged: Callable[[], bool] = lambda: False) -> None:
        self._project = project
        self._nudged = nudged
        self._waiting: deque[_PendingCall] = deque()
        self._waiting_changes = 0
        self._guard = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="webhook-writer", daemon=True)
        self._log: LogCopier | None = None
        self.groups = 0
        self.calls = 0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end; what comes later is turned away."""
        with self._guard:
            self._stopping = True
            self._guard.notify()
        self._thread.join(STOP_SECONDS)
        if self._log is not None:
            self._log.stop()

    @property
    def alive(self) -> bool:
        """Say whether calls get written."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many calls wait for a commit."""
        return len(self._waiting)

    async def accept(self, call: Call) -> Accepted:
        """Return once the call is committed.

        Raises `Problem` when too many wait already, and what `accept` found or the registry raised.
        """
        loop = asyncio.get_running_loop()
        pending = _PendingCall(call, loop, loop.create_future())
        with self._guard:
            full = len(self._waiting) >= MAX_WAITING_CALLS
            full = full or self._waiting_changes + len(call.changes) > MAX_WAITING_CHANGES
            if full or self._stopping:
                why = "Too many calls wait for the registry" if full else "The service is stopping"
                raise Problem(Code.UNAVAILABLE, f"{why}.", "Try again.", {"retry-after": "1"})
            self._waiting.append(pending)
            self._waiting_changes += len(call.changes)
            self._guard.notify()
        return await pending.outcome

    def _run(self) -> None:
        group: list[_PendingCall] = []
        while True:
            if len(group) >= BUSY_CALLS:
                # A commit costs the same for one call and for a hundred: wait for more.
                time.sleep(GATHER_SECONDS)
            if not (group := self._next_group()):
                return
            outcomes = self._commit([pending.call for pending in group])
            # All of them come from one loop, which is woken once for the whole group.
            group[0].loop.call_soon_threadsafe(_resolve, group, outcomes)
            if self._log is not None:
                self._log.committed(sum(len(pending.call.changes) for pending in group))

    def _next_group(self) -> list[_PendingCall]:
        """Wait for calls and take some; an empty list is the end."""
        with self._guard:
            while not self._waiting and not self._stopping:
                self._guard.wait()
            group: list[_PendingCall] = []
            room = GROUP_CHANGES
            while self._waiting and len(group) < GROUP_CALLS:
                changes = len(self._waiting[0].call.changes)
                if group and changes > room:
                    break
                room -= changes
                self._waiting_changes -= changes
                group.append(self._waiting.popleft())
            return group

    def _commit(
        self, calls: Sequence[Call], *, again: bool = True
    ) -> Sequence[Accepted | Exception]:
        failure: Exception
        try:
            return self._commit_together(calls)
        except RegistryUnavailable as error:
            # Perhaps a deadlock that the database resolved against us, so once more; if it is down,
            # waiting for it again for each call would help nobody.
            if not again:
                return [error] * len(calls)
            logger.warning("a commit failed and is tried again: %s", error.message)
            return self._commit(calls, again=False)
        except SemilayerError as error:
            failure = error
        except Exception as error:
            logger.exception("a commit failed")
            failure = error
        if len(calls) == 1:
            return [failure]
        # One call must not take the others down, so each gets a transaction of its own.
        return [outcome for call in calls for outcome in self._commit([call])]

    def _commit_together(self, calls: Sequence[Call]) -> Sequence[Accepted | Exception]:
        project = self._project
        if self._log is None:
            # Here, because a registry that is away keeps no service from starting.
            log = LogCopier(project.registry.engine)
            log.start()
            self._log = log
        with project.registry.begin(durable=True) as db:
            outcomes = accept(
                db,
                calls,
                clock=project.clock,
                new_id=lambda: uuid4().hex,
                nudged=self._nudged(),
            )
        self.groups += 1
        self.calls += len(calls)
        return outcomes


def _resolve(group: Sequence[_PendingCall], outcomes: Sequence[Accepted | Exception]) -> None:
    for pending, outcome in zip(group, outcomes, strict=True):
        if pending.outcome.done():
            continue  # the caller hung up; what was accepted stays accepted
        if isinstance(outcome, Accepted):
            pending.outcome.set_result(outcome)
        else:
            pending.outcome.set_exception(outcome)
