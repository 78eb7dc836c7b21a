"""The registry as a thing to open: transactions to read and to write in.

Everything else in this folder is functions over the `Connection` that `begin` or `read` gives, so
that callers compose them into one transaction. It must never leak a driver's error: what the
database says comes out as `RegistryUnavailable`, without the password.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

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

__all__ = ["Registry"]


class Registry:
    """An open registry; use one a process, from as many threads as you like.

    After a fork the child opens connections of its own; a spawned process opens its own registry.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
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

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[Connection]:
        """Begin a transaction that may write; commit at the end, roll back on any exception.

        What was committed survives the end of this process, and with `durable` a loss of power as
        well; PostgreSQL sees to that by itself.
        """
        engine = self._durable if durable else self._writing
        with self._errors_translated(), engine.begin() as db:
            yield db

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Begin a transaction that only reads; what it would write is rolled back."""
        with self._errors_translated(), self.engine.connect() as db:
            yield db

    def close(self) -> None:
        """Give back every connection; the registry opens new ones if it is used again."""
        self.engine.dispose()

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
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
            raise self._unavailable(error) from error

    def _unavailable(self, error: DBAPIError) -> RegistryUnavailable:
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
        return RegistryUnavailable(f"The registry at {self.url_shown} failed: {said}.", cure=cure)
