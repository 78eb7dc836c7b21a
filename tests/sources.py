"""A source database as a test sees it: to be written to with SQL, and read through a bridge."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import polars as pl
import pytest
from sqlalchemy import Engine, create_engine

from semilayer_pipelines.bridges import row_key
from semilayer_pipelines.bridges.protocol import Selection, SourcePage, Window
from semilayer_pipelines.bridges.sql import SqlBridge

Kind = Literal["sqlite", "postgres", "mariadb"]

_TYPES: dict[Kind, dict[str, str]] = {
    "sqlite": {
        "uuid": "TEXT",
        "moment": "TEXT",
        "zoned moment": "TEXT",
        "text": "TEXT",
        "binary": "BLOB",
    },
    "postgres": {
        "uuid": "UUID",
        "moment": "TIMESTAMP(6)",
        "zoned moment": "TIMESTAMPTZ",
        "text": "TEXT",
        "binary": "BYTEA",
    },
    "mariadb": {
        "uuid": "UUID",
        "moment": "DATETIME(6)",
        "zoned moment": "TIMESTAMP(6) NULL",
        "text": "VARCHAR(100)",
        "binary": "VARBINARY(8)",
    },
}
_IN_MYSQL = {"uuid": "CHAR(36)"}


@dataclass
class SourceDatabase:
    """One empty database and a bridge to it."""

    kind: Kind
    url: str
    engine: Engine
    bridge: SqlBridge
    opened_bridges: list[SqlBridge] = field(default_factory=list)

    @classmethod
    def opened(cls, kind: Kind, url: str) -> Iterator[SourceDatabase]:
        """Yield the database; give back every connection afterwards."""
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        if kind == "sqlite":
            sqlite3.connect(url.removeprefix("sqlite:///")).close()
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA user_version = 1")
        bridge = SqlBridge(url, timeout_ms=60_000, name="shop")
        source = cls(kind, url, engine, bridge)
        try:
            yield source
        finally:
            for opened in (bridge, *source.opened_bridges):
                opened.close()
            engine.dispose()

    @cached_property
    def is_mysql(self) -> bool:
        """Whether a MySQL stands where the tests start a MariaDB."""
        if self.kind != "mariadb":
            return False
        with self.engine.connect() as connection:
            version = connection.exec_driver_sql("SELECT VERSION()").scalar_one()
        return "MariaDB" not in version

    def skip_in_mysql(self, has: str, *words: str) -> None:
        """Skip a test of what MariaDB alone has: types, collations, statements with these words."""
        if self.is_mysql and any(word in has for word in words):
            pytest.skip(f"MySQL has no {has}")

    def type(self, name: str) -> str:
        """Return this database's type for one of the names in `_TYPES`, or the name itself."""
        named = _TYPES[self.kind] | (_IN_MYSQL if self.is_mysql else {})
        return named.get(name, name)

    def run(self, *statements: str) -> None:
        """Run statements as the application would; `"` quotes names in all databases."""
        with self.engine.connect() as connection:
            if self.kind == "mariadb":
                connection.exec_driver_sql(
                    "SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')"
                )
            for statement in statements:
                connection.exec_driver_sql(statement)

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of values in the order of the table's columns."""
        mark = "?" if self.kind == "sqlite" else "%s"
        marks = ", ".join(mark for _ in rows[0])
        # One commit for all, not one a row.
        engine = self.engine.execution_options(isolation_level="SERIALIZABLE")
        with engine.begin() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO {table} VALUES ({marks})", [tuple(row) for row in rows]
            )

    def another_bridge(self, *, timeout_ms: int = 60_000) -> SqlBridge:
        """Return a second bridge to the same database."""
        self.opened_bridges.append(SqlBridge(self.url, timeout_ms=timeout_ms, name="shop"))
        return self.opened_bridges[-1]

    def walk(
        self, selection: Selection, limit: int, window: Window | None = None
    ) -> tuple[pl.DataFrame, list[int]]:
        """Read a window to its end; return all rows and the number of rows of each page."""
        window = window or Window()
        pages: list[SourcePage] = []
        while True:
            pages.append(self.bridge.read_page(selection, window, limit))
            assert len(pages) < 1_000, "the walk does not end"
            if pages[-1].cursor is None:
                break
            window = Window(pages[-1].cursor, window.upto)
        return pl.concat([page.frame for page in pages], how="diagonal"), [
            page.frame.height for page in pages
        ]

    def walk_changed(
        self,
        selection: Selection,
        tracked: str,
        limit: int,
        since: str | None = None,
        upto: str | None = None,
    ) -> pl.DataFrame:
        """Read all changes to their end."""
        frames: list[pl.DataFrame] = []
        cursor = None
        while True:
            page = self.bridge.read_changed(
                selection, tracked, cursor, limit, since=since, upto=upto
            )
            frames.append(page.frame)
            assert len(frames) < 1_000, "the walk does not end"
            if page.cursor is None:
                return pl.concat(frames, how="diagonal")
            cursor = page.cursor


def key_texts(frame: pl.DataFrame, selection: Selection) -> list[str]:
    """Return the texts of the keys of a frame's rows."""
    return row_key.key_texts(frame, selection.key).to_list()
