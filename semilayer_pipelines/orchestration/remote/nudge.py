"""Launching a job as soon as its debounce is over, where a web server of Dagster's is named.

That saves the wait for Dagster's sensor, which looks every few seconds. The process that queued a
job watches it; the sensor leaves it alone for `NUDGE_GRACE` and then launches it, so whatever goes
wrong here costs seconds and no change.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from semilayer_pipelines.errors import NotFound, SemilayerError
from semilayer_pipelines.orchestration.remote.identity import Location, usual_url
from semilayer_pipelines.project import Project
from semilayer_pipelines.quick_imports import import_httpx
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import RUNS_AHEAD, Job, JobStatus
from semilayer_pipelines.registry.jobs.queries import NUDGE_GRACE

if TYPE_CHECKING:
    import httpx

__all__ = ["MAX_WATCHED", "Nudge"]

logger = logging.getLogger(__name__)

MAX_WATCHED = 1_000
"""Jobs that one process watches; the sensor launches those beyond."""

SETTLE = timedelta(seconds=0.3)
"""A run that lingers for the lens looks every 0.2 s, and takes a due job first."""

LAUNCH_SECONDS = 3.0
"""A launch that takes longer is given up, before the sensor's turn."""

LATEST = NUDGE_GRACE - timedelta(seconds=LAUNCH_SECONDS)
AT_ONCE = 4
START_SECONDS = 5.0
"""A run that was launched is up after so long, and does the jobs of other lenses too."""

QUIET_SECONDS = 30.0
"""After a launch that failed, jobs are left to the sensor for so long."""


class Nudge:
    """Watches jobs of one server process; does nothing until it knows a web server's address.

    The address is a setting, or what a running `semilayer dev` left, or where Dagster's own
    commands listen. Each may be another's, so the web server is asked whose lenses it shows.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._made_sure: tuple[str, Location] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = 0.0
        self._watching: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._client: httpx.AsyncClient | None = None
        self._quiet_until = 0.0
        self._launched = deque[float](maxlen=RUNS_AHEAD)

    def can_watch(self) -> bool:
        """Say whether a job that is queued now should be left to this process."""
        return (
            len(self._watching) < MAX_WATCHED
            and time.monotonic() >= self._quiet_until
            # Last: without a setting a file is looked for.
            and (self._made_sure is not None or self._project.dagster_url is not None)
        )

    def watch(self, job_id: str, due_at: datetime) -> None:
        """Launch this job once its time has come and no run has taken it."""
        self._look_for_dagster()
        if not self.can_watch():
            return
        task = asyncio.create_task(self._watch(job_id, due_at))
        # The loop itself keeps no task alive.
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    def _look_for_dagster(self) -> None:
        """Look now and then for a Dagster of this project at the usual address."""
        now = time.monotonic()
        if self._made_sure is not None or now < self._look_again:
            return
        self._look_again = now + QUIET_SECONDS
        if self._project.dagster_url is None:
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        with suppress(SemilayerError):  # There need not be one.
            await self._known(usual_url(self._project.environ))

    async def stop(self) -> None:
        """Leave what is watched to the sensor."""
        tasks = [*self._watching, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _watch(self, job_id: str, due_at: datetime) -> None:
        try:
            while True:
                wait = due_at + SETTLE - self._project.clock()
                await asyncio.sleep(max(0.0, wait.total_seconds()))
                job = await asyncio.to_thread(self._look_up, job_id)
                if job is None:
                    return
                if job.due_at <= self._project.clock():
                    break
                due_at = job.due_at  # more calls came, and put it off
            async with self._turn:
                if self._project.clock() - job.due_at < LATEST and self._is_wanted():
                    await self._launch(job)
        except SemilayerError as error:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            logger.warning("job %s is left to Dagster's sensor: %s", job_id, redact(str(error)))

    def _is_wanted(self) -> bool:
        """Say whether a run is to be launched: not while enough of them come up."""
        now = time.monotonic()
        if len(self._launched) == RUNS_AHEAD and now - self._launched[0] < START_SECONDS:
            return False
        self._launched.append(now)
        return True

    def _look_up(self, job_id: str) -> Job | None:
        """Return the job while it waits, `None` when nothing is to be launched for it."""
        now = self._project.clock()
        with self._project.registry.read() as db:
            try:
                job = jobs.get(db, job_id)
            except NotFound:
                return None
            waits = job.status is JobStatus.QUEUED and job.due_at > now
            return job if waits or jobs.is_due(db, job_id, now) else None

    async def _launch(self, job: Job) -> None:
        from semilayer_pipelines.orchestration.remote.launch import NotLaunched, launch

        try:
            async with asyncio.timeout(LAUNCH_SECONDS):
                url = self._project.dagster_url or (self._made_sure and self._made_sure[0])
                if url is None:
                    raise NotLaunched("Dagster's web server has gone.")
                client, location = await self._known(url)
                await launch(client, url, location, job)
        except TimeoutError:
            self._made_sure = None
            raise NotLaunched(f"Dagster took longer than {LAUNCH_SECONDS} s.") from None
        except NotLaunched:
            # It may be another by now, or have another name.
            self._made_sure = None
            raise

    async def _known(self, url: str) -> tuple[httpx.AsyncClient, Location]:
        """Return the client, and the location at this address that shows our lenses."""
        # Here, because the service would be up a tenth of a second later for them.
        import_httpx()
        import httpx

        from semilayer_pipelines.orchestration.remote.launch import make_sure

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=LAUNCH_SECONDS)
        if self._made_sure is None or self._made_sure[0] != url:
            identity = await asyncio.to_thread(self._project.registry.identity)
            self._made_sure = (url, await make_sure(self._client, url, identity))
        return self._client, self._made_sure[1]
