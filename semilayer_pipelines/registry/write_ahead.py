"""Copying SQLite's write-ahead log into its file between calls, and not inside of them.

After a commit that leaves more than 1,000 pages in the log, SQLite copies them before the commit
returns, and waits for the disk a second time. A call of ten thousand changes writes several times
as many pages, so each such caller waited for that. Here a thread copies while nobody waits. What
was committed is on the disk before that as after it. It must never let the log grow without end.
"""

from __future__ import annotations

import logging
import threading

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry.engine import copy_log, leave_log

__all__ = ["LOG_PAGES", "LogCopier"]

logger = logging.getLogger(__name__)

LOG_PAGES = 16_000
"""Pages of 4 KiB of a registry's write-ahead log at which the webhook stops to copy all of them."""

COPIED_AFTER_CHANGES = 1_000
COPIED_AFTER_COMMITS = 100
"""Either writes some hundred to two thousand pages; SQLite copies from a thousand on."""

LOG_AHEAD = 20
"""So many times as much may be committed while one copy is made; then calls wait for it."""

WAIT_SECONDS = 30.0
"""Longer than copying takes; beyond it, calls go on and the log grows."""


class LogCopier:
    """Copies the log of a SQLite registry beside the one thread that says what it `committed`.

    Of any other registry there is nothing to copy.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._guard = threading.Condition()
        self._changes = self._commits = 0
        self._due = self._copying = self._stopping = False
        self._left = 0
        self._behind = 0  # pages that were not copied when somebody last looked
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to copy; from here on no commit of this process does."""
        if self._engine.dialect.name != "sqlite":
            return
        self._left = LOG_PAGES
        leave_log(self._engine, self._left)
        self._thread = threading.Thread(target=self._run, name="registry-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; the last connection to the file that is closed copies the rest."""
        if self._thread is None:
            return
        with self._guard:
            self._stopping = True
            self._guard.notify_all()
        self._thread.join(WAIT_SECONDS)
        copy_log(self._engine, self._left)

    def committed(self, changes: int) -> None:
        """Note a commit of so many changes; waits when the log is too long for another one."""
        if self._thread is None:
            return
        with self._guard:
            self._commits += 1
            self._changes += changes
            # Since the last copy was begun, in shares of what makes the next one due.
            written = max(
                self._commits / COPIED_AFTER_COMMITS, self._changes / COPIED_AFTER_CHANGES
            )
            long = self._behind >= LOG_PAGES
            if written < 1 and not long:
                return
            self._due = True
            self._guard.notify_all()
            if long or written >= LOG_AHEAD:
                # Only while nobody writes does SQLite get to the log's end, and begins it again.
                self._guard.wait_for(self._is_done, WAIT_SECONDS)

    def _is_done(self) -> bool:
        return self._stopping or not (self._due or self._copying)

    def _run(self) -> None:
        while True:
            with self._guard:
                self._guard.wait_for(lambda: self._due or self._stopping)
                if self._stopping:
                    return
                self._due, self._copying = False, True
                self._changes = self._commits = 0
            behind = self._copied()
            with self._guard:
                self._copying, self._behind = False, behind
                self._guard.notify_all()

    def _copied(self) -> int:
        """Copy what can be copied; return the length of the log, 0 when it can begin again."""
        try:
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                # Waits for nobody, and nobody waits for it.
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
                ((_, pages, copied),) = cursor.fetchall()
            finally:
                connection.close()
        except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as error:
            logger.warning(
                "The registry's write-ahead log could not be copied into its file: %s. "
                "Nothing is lost; it is tried again with the next calls.",
                redact(str(error)),
            )
            return 0
        return 0 if pages == copied else int(pages)
