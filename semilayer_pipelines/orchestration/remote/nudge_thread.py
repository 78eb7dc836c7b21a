"""The nudge of a program that has no event loop of its own: a thread has it.

Whatever goes wrong there, the program that queued the jobs goes on, and the sensor launches them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from semilayer_pipelines.orchestration.remote.nudge import Nudge
from semilayer_pipelines.project import Project

__all__ = ["NudgeThread", "nudging"]


class NudgeThread:
    """Watches jobs for the threads of one program."""

    def __init__(self, nudge: Nudge, loop: asyncio.AbstractEventLoop) -> None:
        self._nudge = nudge
        self._loop = loop

    def can_watch(self) -> bool:
        """Say whether a job that is queued now should be left to this process."""
        return self._nudge.can_watch()

    def watch(self, job_id: str, due_at: datetime) -> None:
        """Launch this job once its time has come and no run has taken it; returns at once."""
        self._loop.call_soon_threadsafe(self._nudge.watch, job_id, due_at)


@contextmanager
def nudging(project: Project) -> Iterator[NudgeThread]:
    """Lend a nudge; at the end, what is still watched is left to the sensor."""
    nudge, loop = Nudge(project), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="nudge", daemon=True)
    thread.start()
    try:
        yield NudgeThread(nudge, loop)
    finally:
        asyncio.run_coroutine_threadsafe(nudge.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
