"""One writer at a time to an index, across machines: a lock of the registry's PostgreSQL.

A transaction on a connection of its own holds it, so it falls with its holder and needs no clock.
The session would not do: a pooler such as PgBouncer would hand it to somebody else. The transaction
does nothing, and so holds nothing back.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from semilayer_pipelines.errors import StoreUnavailable
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.stores.lock import LOCK_WAIT_S

__all__ = ["SharedLock"]

_LOCK_NOT_AVAILABLE = "55P03"
# A holder whose machine vanished is noticed in half a minute, not in PostgreSQL's two hours.
_SETTINGS = (
    # A role's own would end the wait for the lock.
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
    "SET LOCAL tcp_keepalives_idle = 10",
    "SET LOCAL tcp_keepalives_interval = 5",
    "SET LOCAL tcp_keepalives_count = 4",
)

RECONNECT_S = 20.0
"""How long a server that restarts or fails over is waited for before the lock is asked for."""

_RECONNECT_WAIT_S = 0.5

_held = threading.local()


class SharedLock:
    """Implements `Lock` by name; locks of the same name in one database exclude each other.

    `engine` must give every lock a connection of its own: a shared pool could run dry of holders
    that wait for each other.
    """

    def __init__(self, engine: Engine, name: str, *, wait_s: float = LOCK_WAIT_S) -> None:
        self._engine = engine
        self._name = name
        self._wait_s = wait_s
        digest = hashlib.blake2b(f"semilayer {name}".encode(), digest_size=8).digest()
        self._number = int.from_bytes(digest, signed=True)
        self._holding: Connection | None = None

    @property
    def held_by_this_thread(self) -> bool:
        """Say whether the calling thread is inside `hold`."""
        return self._name in _names_held()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the lock until the block ends, or the connection does.

        Raises `RuntimeError` when this thread holds it already and `StoreUnavailable` when somebody
        else keeps it longer than the wait, or PostgreSQL does not answer.
        """
        if self.held_by_this_thread:
            raise RuntimeError(f"the lock {self._name} is held by this thread already")
        db = self._acquired()
        try:
            self._holding = db
            _names_held().add(self._name)
            yield
        finally:
            _names_held().discard(self._name)
            self._holding = None
            # Closing rolls back, which frees the lock; a broken connection has freed it before.
            db.close()

    def confirm(self) -> None:
        """Raise `StoreUnavailable` when the connection that holds the lock was lost."""
        assert self._holding is not None, "only while it is held"
        if self._holding.invalidated:
            # Asked again, SQLAlchemy would speak of the transaction that went with it.
            raise self._unavailable("was lost", "its connection broke")
        try:
            self._holding.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise self._unavailable("was lost", _said(error)) from error

    def remove(self) -> None:
        """Do nothing: it leaves nothing behind."""

    def _acquired(self) -> Connection:
        db = self._connected()
        try:
            for setting in _SETTINGS:
                db.execute(text(setting))
            db.execute(text(f"SET LOCAL lock_timeout = {int(self._wait_s * 1000)}"))
            db.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": self._number})
        except DBAPIError as error:
            db.close()
            if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE:
                raise StoreUnavailable(
                    f"the write lock of {self._name} was not free within {self._wait_s:g} s.",
                    cure="Wait for the run that holds it to end, or end it.",
                ) from error
            raise self._unavailable("cannot be asked for", _said(error)) from error
        except BaseException:
            db.close()
            raise
        return db

    def _connected(self) -> Connection:
        """Connect, also to a server that is back within a moment: nothing is held yet."""
        until = time.monotonic() + RECONNECT_S
        while True:
            try:
                return self._engine.connect()
            except DBAPIError as error:
                if time.monotonic() > until:
                    raise self._unavailable("cannot be asked for", _said(error)) from error
                time.sleep(_RECONNECT_WAIT_S)

    def _unavailable(self, what: str, said: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"the write lock of {self._name} {what}: {said}.",
            cure="Check that the registry's PostgreSQL runs; then try again.",
        )


def _said(error: DBAPIError) -> str:
    return redact(str(error.orig).strip().partition("\n")[0])


def _names_held() -> set[str]:
    if not hasattr(_held, "names"):
        _held.names = set()
    names: set[str] = _held.names
    return names
