"""A table on a server that nobody else writes to, and what a sync would ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg

from semilayer_pipelines.bridges.protocol import Selection, Window, Written
from semilayer_pipelines.bridges.sql import SqlBridge
from tests.bridges.own_postgres import OwnPostgres

ITEMS = Selection("items", ("id",), ("id", "v"), hashed=True)

_FILLED = "INSERT INTO items SELECT n, 'v' || n FROM generate_series(1, 50) n"


@dataclass
class OwnTable:
    """A source with a table `items` of 50 rows, on a server that nobody else writes to."""

    server: OwnPostgres
    bridge: SqlBridge
    database: str

    @classmethod
    def opened(cls, server: OwnPostgres) -> Iterator[OwnTable]:
        """Yield it, in a database of its own."""
        server.run("DROP DATABASE IF EXISTS shop WITH (FORCE)", "CREATE DATABASE shop")
        with closing(SqlBridge(server.url("shop"), timeout_ms=20_000, name="shop")) as bridge:
            found = cls(server, bridge, "shop")
            found.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT)", _FILLED)
            yield found

    def run(self, *statements: str) -> None:
        self.server.run(*statements, database=self.database)

    def session(self) -> psycopg.Connection[Any]:
        return self.server.connect(self.database)

    def written(self, selection: Selection = ITEMS) -> Written:
        found = self.bridge.written(selection)
        assert found is not None
        assert None not in (found.mark, found.since)
        return found

    def unchanged(self, kept: Written) -> bool:
        """Say what a sync would take for proven."""
        now = self.bridge.written(ITEMS)
        return now is not None and (now.place, now.mark) == (kept.place, kept.mark)

    def since(self, kept: Written, selection: Selection = ITEMS, limit: int = 7) -> pl.DataFrame:
        """Read all rows that were written since, page by page."""
        assert kept.since is not None
        frames, after = [], None
        while True:
            page = self.bridge.read_written(selection, kept.since, Window(after), limit)
            frames.append(page.frame)
            after = page.cursor
            if after is None:
                return pl.concat(frames)

    def changed(self, kept: Written) -> list[int]:
        """Return the keys of the rows that were written since."""
        return sorted(self.since(kept)["id"].to_list())

    def rows(self) -> dict[int, str]:
        """Return what is there."""
        with self.session() as session:
            return dict(session.execute("SELECT id, v FROM items").fetchall())
