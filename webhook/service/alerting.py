"""Telling somebody what is wrong, from the webhook: a daemon that is silent cannot say so."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress

from semilayer_pipelines.control.alerts import LOOK_EVERY_SECONDS, tell
from semilayer_pipelines.project import Project
from semilayer_pipelines.redaction import redact

__all__ = ["FIRST_LOOK_SECONDS", "Alerting"]

logger = logging.getLogger(__name__)

FIRST_LOOK_SECONDS = 120.0
"""The webhook looks first whether anything is to be told when Dagster, too, had time to start."""


class Alerting:
    """Looks every half minute, in a thread of its own; one a server process."""

    def __init__(self, project: Project, stopping: threading.Event) -> None:
        self._project = project
        self._stopping = stopping
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Look no more; a message that is being sent is sent to its end."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        while True:
            await asyncio.to_thread(self._tell)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def _tell(self) -> None:
        try:
            told = tell(self._project, stop=self._stopping.is_set)
        except Exception as error:  # noqa: BLE001 - the next look is as good as this one
            told = redact(f"{type(error).__name__}: {error}")
            logger.warning("Nobody can be told now what is wrong. %s", told)
        else:
            logger.info("Alerts: %s", redact(told))
