"""SQLite's SQL, compiled once a session: every test has engines of its own.

SQLAlchemy keeps what it has compiled for one engine only, and a test spent a quarter of its time on
what the one before had compiled as well.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

__all__ = ["SQLite", "compile_once"]

_compiled: LRUCache[Any, Any] = LRUCache(2_000)


class SQLite(SQLiteDialect_pysqlite):
    """As it is; those of all engines are one to whoever looks for a compiled statement."""

    supports_statement_cache = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SQLite)

    def __hash__(self) -> int:
        return hash(SQLite)

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine.update_execution_options(compiled_cache=_compiled)


def compile_once() -> None:
    """Let every engine of this process that is made from now on share what was compiled."""
    for name in ("sqlite", "sqlite.pysqlite"):
        registry.register(name, __name__, SQLite.__name__)
