"""The registry as a thing to open: transactions to read and to write in.

Everything else in this folder is functions over the `Connection` that `begin` or `read` gives, so
that callers compose them into one transaction. It must never leak a driver's error: what the
database says comes out as `RegistryUnavailable`, without the password.

A server that restarts or fails over takes every connection with it. A run that holds hours of work
waits for it (`patiently`): for a connection, and for whatever `transact` can safely do again.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from semilayer_pipelines.errors import RegistryUnavailable
from semilayer_pipelines.redaction import redact
from semilayer_pipelines.registry.engine import DURABLE, WRITES, make_engine
from semilayer_pipelines.registry.migrate import migrate as to_this_version
from semilayer_pipelines.registry.time import RegistryTime

__all__ = ["PATIENCE_SECONDS", "Registry"]

PATIENCE_SECONDS = 20.0
"""How long a run waits for a registry that went away; shorter than a lease, which is 30 s."""

_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 2.0
_MADE_UNDONE = {"40001", "40P01"}
"""What PostgreSQL says of a transaction that it ended for another's sake, and rolled back."""

_patience: ContextVar[float] = ContextVar("registry_patience", default=0.0)

T = TypeVar("T")


class Registry:
    """An open registry; use one a process, from as many threads as you like.

    `time` tells what time it is by the registry's clock.

    After a fork the child opens connections of its own; a spawned process opens its own registry.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.time = RegistryTime()
        self._writing = engine.execution_options(**{WRITES: True})
        self._durable = engine.execution_options(**{WRITES: True, DURABLE: True})

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> Registry:
        """Open the registry at a URL and, with `migrate`, bring its tables to this version.

        Raises `ConfigError` (not a URL we can use, tables newer than this program) and
        `RegistryUnavailable` (no answer, no permission, not a database).
        """
        registry = cls(make_engine(url))
        if migrate:
            with registry._errors_translated():
                to_this_version(registry.engine)
        return registry

    @property
    def url_shown(self) -> str:
        """The URL with its password hidden."""
        return redact(self.engine.url.render_as_string(hide_password=True))

    def identity(self) -> str:
        """Return what tells this registry from every other one, as a word of 32 characters.

        Two programs that reach the same database get the same word. Raises `RegistryUnavailable`.
        """
        if self.engine.dialect.name == "sqlite":
            where = str(Path(self.engine.url.database or "").resolve())
        else:
            server = "SELECT system_identifier FROM pg_control_system()"
            asked = f"SELECT ({server}), current_database(), current_schema()"
            try:
                with self.read() as db:
                    where = " ".join(map(str, db.exec_driver_sql(asked).one()))
            except ProgrammingError as error:
                raise self._unavailable(error, lost=False) from error
        return hashlib.sha256(where.encode()).hexdigest()[:32]

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[Connection]:
        """Begin a transaction that may write; commit at the end, roll back on any exception.

        What was committed survives the end of this process, and with `durable` a loss of power as
        well; PostgreSQL sees to that by itself.
        """
        with self._connected(self._writer(durable)) as db, self._errors_translated(), db.begin():
            yield db

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Begin a transaction that only reads; what it would write is rolled back."""
        with self._connected(self.engine) as db, self._errors_translated():
            yield db

    def transact(self, action: Callable[[Connection], T], *, durable: bool = False) -> T:
        """Do something in a transaction as `begin` does, again when the connection is lost in it.

        Only a patient caller waits (`patiently`). `action` changes nothing but the registry. What
        was lost while it was being committed is not done again: it may have been kept.
        """
        waits = _Waits()
        while True:
            committing = False
            try:
                with self.begin(durable=durable) as db:
                    result = action(db)
                    committing = True
                return result
            except RegistryUnavailable as error:
                if committing or not error.lost:
                    raise
                if not waits.again():
                    error.lost = False
                    raise

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Within the block, this thread waits `PATIENCE_SECONDS` for a registry that went away."""
        before = _patience.set(PATIENCE_SECONDS)
        try:
            yield
        finally:
            _patience.reset(before)

    def close(self) -> None:
        """Give back every connection; the registry opens new ones if it is used again."""
        self.engine.dispose()

    def _writer(self, durable: bool) -> Engine:
        return self._durable if durable else self._writing

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        """Give a connection; nothing was done on it yet, so a lost one costs a wait only."""
        waits = _Waits()
        while True:
            try:
                with self._errors_translated(connecting=True):
                    db = engine.connect()
                    self._tell_time(db)
                break
            except RegistryUnavailable as error:
                if not error.lost or not waits.again():
                    error.lost = False  # Whoever asks again at once would only wait once more.
                    raise
        try:
            yield db
        finally:
            _give_back(db)

    def _tell_time(self, db: Connection) -> None:
        if self.engine.dialect.name != "sqlite" and self.time.is_due():
            try:
                self.time.measure(db)
            except BaseException:
                db.close()
                raise

    @contextmanager
    def _errors_translated(self, *, connecting: bool = False) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, ProgrammingError, DataError, NotSupportedError):
            raise  # a fault of ours, not of the connection: it needs its traceback
        except PoolTimeout as error:
            raise RegistryUnavailable(
                f"The registry at {self.url_shown} has no connection free.",
                cure="Too many threads hold one at once; try again.",
            ) from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
                raise  # SQLite's word for wrong SQL, so ours too
            server = self.engine.dialect.name != "sqlite"
            lost = server and (connecting or error.connection_invalidated or _was_undone(error))
            raise self._unavailable(error, lost=lost) from error

    def _unavailable(self, error: DBAPIError, *, lost: bool) -> RegistryUnavailable:
        said = redact(str(error.orig).strip().splitlines()[0] if str(error.orig) else "no answer")
        if self.engine.dialect.name == "sqlite":
            locked = "locked" in said or "busy" in said
            cure = (
                "Another process is writing to it for longer than we wait; try again."
                if locked
                else "Check that the file is a registry and that this user may write to it."
            )
        else:
            cure = "Check that the server runs, and the host, user and password in the URL."
        told = f"The registry at {self.url_shown} failed: {said}."
        return RegistryUnavailable(told, cure=cure, lost=lost)


def _give_back(db: Connection) -> None:
    try:
        db.close()
    except DBAPIError:
        # It was lost after its work was done. There is nothing to roll back on the other side.
        if not db.closed:
            raise


class _Waits:
    """The waits of one caller: longer each time, and together no longer than its patience."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _patience.get()
        self._next = _FIRST_WAIT_SECONDS

    def again(self) -> bool:
        """Wait, unless the patience is over; say whether to try once more."""
        left = self._until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(self._next, left))
        self._next = min(2 * self._next, _LONGEST_WAIT_SECONDS)
        return True


def _was_undone(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) in _MADE_UNDONE
