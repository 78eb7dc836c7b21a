"""From MariaDB's binary log into the buffer: changes a second, and for a second of one core.

Once in transactions of one row, where what a transaction costs counts most, and once in large ones.
Beside it, in turns, the same log is read and thrown away: what the server and the connection take.
The registry is a SQLite file; server, reader and registry share the machine.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import cast

from sqlalchemy.engine import make_url

from benchmarks.catalogue import workplace
from benchmarks.cdc import followed
from benchmarks.result import Result, Wanted, measured
from semilayer_pipelines.follow.binlog.events import Ended, Events
from semilayer_pipelines.follow.binlog.pieces import Tables
from semilayer_pipelines.follow.binlog.server import Server, driver
from semilayer_pipelines.registry import changes
from tests import servers
from tests.follow.site import Site
from tests.patience import eventually

__all__ = ["run"]

_ROWS = 20_000
_SIZES = (1, 500)
_REPETITIONS = 3
_READER = 4711
"""A number of a reader that no follower has."""


def run() -> list[Result]:
    """Update every row, in transactions of each size; read the log each way."""
    with (
        workplace() as folder,
        servers.database(servers.logging_mariadb_url()) as url,
    ):
        site = _site(folder, url)
        try:
            results = [result for rows in _SIZES for result in _measure(site, rows)]
            return [*results, _all_of_them(site)]
        finally:
            site.uninstall()


def _measure(site: Site, rows: int) -> list[Result]:
    floor, speed, on_a_core = [], [], []
    for _ in range(_REPETITIONS):
        _write(site, rows)
        floor.append(_ROWS / _thrown_away(site, _ROWS // rows))
        before = time.process_time()
        seconds = followed(site, _ROWS)
        speed.append(_ROWS / seconds)
        on_a_core.append(_ROWS / (time.process_time() - before))
    return [
        Result(
            f"cdc: binary log into the buffer, transactions of {rows}",
            "changes/s",
            measured(speed),
            floor=measured(floor).median,
        ),
        Result(
            f"cdc: the same, by the follower's own processor time, transactions of {rows}",
            "changes/s",
            measured(on_a_core),
            target=10_000,
        ),
    ]


def _all_of_them(site: Site) -> Result:
    with site.lab.project.registry.read() as db:
        buffered = changes.buffered(db, site.lab.lens.id)
    return Result(
        "cdc: changes of the binary log buffered, of those written",
        "",
        measured([buffered]),
        Wanted.EXACTLY,
        _ROWS * _REPETITIONS * len(_SIZES),
    )


def _site(folder: Path, url: str) -> Site:
    columns = "id int PRIMARY KEY, name text, other int, price decimal(10,2), made datetime(6)"
    _run(
        url,
        f"CREATE TABLE items ({columns})",
        "INSERT INTO items SELECT seq, repeat('name ', 40), 0, 1.5, '2026-01-01' "
        f"FROM seq_1_to_{_ROWS}",
    )
    # Without TLS: server and reader are on one machine.
    site = Site.of(folder, "binlog", f"{url}?sslmode=DISABLED")
    site.install()
    site.lab.full()
    with site.followed():
        eventually(lambda: site.syncs() == 1)
    site.do_syncs()
    return site


def _write(site: Site, rows: int) -> None:
    _run(
        str(site.lab.connection),
        *(
            f"UPDATE items SET other = other + 1 WHERE id > {start} AND id <= {start + rows}"
            for start in range(0, _ROWS, rows)
        ),
    )


def _run(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    at = make_url(url)
    names = {"host": at.host, "port": at.port, "user": at.username, "password": at.password or ""}
    with (
        closing(driver().connect(**names, database=at.database, autocommit=True)) as db,
        db.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


def _thrown_away(site: Site, transactions: int) -> float:
    """Read the log from where the follower is, and keep nothing of it; return the seconds."""
    server = Server(str(site.lab.connection), source="main", timeout_ms=30_000)
    position = cast("str", site.feed().position)
    started = time.perf_counter()
    with (
        closing(server),
        closing(Events(server, _READER, Tables({}, {}), position)) as events,
    ):
        for event in events:
            transactions -= isinstance(event, Ended)
            if not transactions:
                break
    return time.perf_counter() - started
