"""Reading a table of PostgreSQL: pages as frames, and a smart sync over them that finds no change.

The floor of reading is the server's own binary COPY of the same rows, whose bytes nobody looks at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from benchmarks.timing import interleaved, timed
from semilayer_pipelines.bridges.protocol import Selection, Window
from semilayer_pipelines.bridges.sql import SqlBridge
from semilayer_pipelines.counts import Counts
from semilayer_pipelines.ingest.page_size import MAX_PAGE_ROWS
from tests import servers
from tests.lab import Lab
from tests.workload import row

__all__ = ["run"]

ROWS = 300_000
_REPETITIONS = 7
_OF_COPY = 0.8
_COLUMNS = ("id", "name", "description", "price", "category", "updated_at")
_ITEMS = (
    "CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT, description TEXT,"
    " price DOUBLE PRECISION, category TEXT, updated_at TIMESTAMPTZ)"
)
_COPY = f"COPY (SELECT {', '.join(_COLUMNS)} FROM items ORDER BY id) TO STDOUT (FORMAT binary)"


def run(rows: int = ROWS) -> list[Result]:
    with workplace() as folder, _database(rows) as url:
        bridge = SqlBridge(url, timeout_ms=60_000, name="bench")
        lab = Lab.opened(folder, {})
        lab.connection = url
        lab.push()
        lab.full()
        counts: list[Counts] = []
        with psycopg.connect(url, autocommit=True) as db:
            seconds = interleaved(
                {
                    "copy": lambda: timed(lambda: _copy(db)),
                    "pages": lambda: timed(lambda: _pages(bridge, rows)),
                    "sync": lambda: timed(lambda: counts.append(lab.sync(full_walk=True).counts)),
                },
                repetitions=_REPETITIONS,
            )
        bridge.close()

    def speed(of: str) -> list[float]:
        return [rows / each for each in seconds[of]]

    floor = measured(speed("copy")).median
    said = f"{rows:,} rows of PostgreSQL"
    return [
        Result(
            f"{said}, pages as frames",
            "rows/s",
            measured(speed("pages")),
            target=_OF_COPY * floor,
            floor=floor,
        ),
        Result(f"{said}, sync without a change", "rows/s", measured(speed("sync")), floor=floor),
        Result(
            "nothing changed: rows written",
            "rows",
            measured([each.written for each in counts]),
            Wanted.EXACTLY,
            0,
        ),
    ]


@contextmanager
def _database(rows: int) -> Iterator[str]:
    """Lend the URL of a database with a table `items` of so many rows."""
    with servers.database(servers.postgres_url()) as made:
        address = make_url(made).set(drivername="postgresql")
        url = address.render_as_string(hide_password=False)
        dice = random.Random(1)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(_ITEMS)
            with db.cursor().copy("COPY items FROM STDIN") as copy:
                for number in range(1, rows + 1):
                    copy.write_row(row(dice, number))
            db.execute("VACUUM ANALYZE items")
        yield url


def _copy(db: psycopg.Connection[tuple[object, ...]]) -> None:
    with db.cursor().copy(_COPY) as copy:
        for _ in copy:
            pass


def _pages(bridge: SqlBridge, rows: int) -> None:
    selection, window, read = Selection("items", ("id",), _COLUMNS), Window(), 0
    while True:
        page = bridge.read_page(selection, window, MAX_PAGE_ROWS)
        read += page.frame.height
        if page.cursor is None:
            break
        window = Window(page.cursor)
    if read != rows:
        raise RuntimeError(f"{read} of {rows} rows were read")
