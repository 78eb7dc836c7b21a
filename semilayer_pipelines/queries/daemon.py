"""Whether anything runs jobs: the sensor of Dagster's daemon notes in the registry that it ticks.

Accepted calls and queued jobs only wait while it is silent, so nothing else would tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from semilayer_pipelines.counts import span, utc_text
from semilayer_pipelines.registry import heartbeats

__all__ = ["SILENT_AFTER", "Daemon", "daemon_of"]

SILENT_AFTER = timedelta(seconds=30)
"""How old the last tick of Dagster's daemon may be before `status` and the console say so."""


@dataclass(frozen=True)
class Daemon:
    """Dagster's daemon: its last tick (`None`: there was none yet), and the age of that."""

    last: datetime | None
    age: timedelta | None

    @property
    def silent(self) -> bool:
        """Whether nothing runs jobs."""
        return self.age is None or self.age > SILENT_AFTER

    @property
    def told(self) -> str:
        """Say in a sentence that nothing runs jobs, and since when; empty while it ticks."""
        if not self.silent:
            return ""
        if self.last is None or self.age is None:
            return "Nothing runs jobs: Dagster's daemon has not run yet. What is queued waits."
        ago = span(self.age.total_seconds())
        return (
            f"Nothing runs jobs: Dagster's daemon was last at work {ago} ago "
            f"({utc_text(self.last.replace(microsecond=0))}). What is queued waits."
        )

    @property
    def cure(self) -> str:
        """Say what to do then; empty while it ticks."""
        return "Start it with `semilayer dev`, or look at its log." if self.silent else ""

    def as_json(self) -> dict[str, object]:
        """Return it as `--json` has it."""
        return {
            "lastTick": utc_text(self.last) if self.last else None,
            "silent": self.silent,
        }


def daemon_of(db: Connection, now: datetime) -> Daemon:
    """Return how Dagster's daemon stands."""
    last = heartbeats.last_beat(db, heartbeats.DAEMON)
    return Daemon(last, None if last is None else max(timedelta(0), now - last))
