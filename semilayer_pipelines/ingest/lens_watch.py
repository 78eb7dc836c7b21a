"""Whether a run may go on with its lens, asked between pages: not paused, not configured anew.

Both are rows in the registry, so that a person can stop a run from anywhere.
"""

from __future__ import annotations

import time
from datetime import datetime

from semilayer_pipelines.registry import lenses
from semilayer_pipelines.registry.database import Registry
from semilayer_pipelines.registry.lenses import LensStatus

__all__ = ["LensWatch", "PausedInPage", "StartOver", "WaitsForBatches"]

PAUSE_CHECK_SECONDS = 0.2


class StartOver(Exception):
    """What the run works with is out of date: its generation was replaced, or its lens pushed."""


class PausedInPage(Exception):
    """The lens was paused while a page waited for its vectors; nothing of the page is written."""


class WaitsForBatches(Exception):
    """A provider has texts to embed in its own time; the job looks again at `look_at`."""

    def __init__(self, look_at: datetime) -> None:
        super().__init__(look_at)
        self.look_at = look_at


class LensWatch:
    """Looks at one lens for one run, at most five times a second."""

    def __init__(self, registry: Registry, lens_id: int) -> None:
        self._registry = registry
        self._lens_id = lens_id
        self._config_hash: str | None = None
        self._checked = 0.0
        self._paused = False

    def begin(self, config_hash: str) -> None:
        """Note the configuration that the run begins with, or starts over with."""
        self._config_hash = config_hash

    def paused(self) -> bool:
        """Say whether somebody paused the lens.

        Once paused, it stays so for this run: every step on its way out has to hear the same
        answer. Raises `StartOver` when the lens has another configuration than the run began with.
        """
        now = time.monotonic()
        if self._paused or now - self._checked < PAUSE_CHECK_SECONDS:
            return self._paused
        self._checked = now
        with self._registry.read() as db:
            lens = lenses.by_id(db, self._lens_id)
        self._paused = lens.status is LensStatus.PAUSED
        if not self._paused and self._config_hash not in (None, lens.config_hash):
            raise StartOver
        return self._paused
