"""From PostgreSQL's log into the buffer: changes a second, and for a second of one core.

Beside it, in turns, the same log is read and thrown away: what the server and the connection take.
The registry is a SQLite file; server, reader and registry share the machine.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from semilayer_pipelines.follow.follower import Follower
from semilayer_pipelines.follow.logical.stream import Stream
from semilayer_pipelines.follow.postgres import Session
from semilayer_pipelines.registry import changes
from tests import servers
from tests.follow.site import Site
from tests.lab import ENV
from tests.patience import eventually

__all__ = ["followed", "run"]

_ROWS = 50_000
_BATCH = 50
_REPETITIONS = 3
_WAIT_SECONDS = 300.0


def run() -> list[Result]:
    """Update every row, in transactions of 50; read the log each way."""
    with (
        workplace() as folder,
        servers.database(servers.logical_postgres_url()) as url,
        psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as db,
    ):
        site = _site(folder, url, db)
        try:
            return _measure(site)
        finally:
            site.uninstall()


def _measure(site: Site) -> list[Result]:
    floor, speed, on_a_core = [], [], []
    for number in range(_REPETITIONS):
        _write(site, number)
        floor.append(_ROWS / _thrown_away(site))
        before = time.process_time()
        seconds = followed(site, _ROWS)
        speed.append(_ROWS / seconds)
        on_a_core.append(_ROWS / (time.process_time() - before))
    with site.lab.project.registry.read() as db:
        buffered = changes.buffered(db, site.lab.lens.id)
    return [
        Result(
            "cdc: log into the buffer",
            "changes/s",
            measured(speed),
            floor=measured(floor).median,
        ),
        Result(
            "cdc: log into the buffer, by the follower's own processor time",
            "changes/s",
            measured(on_a_core),
            target=10_000,
        ),
        Result(
            "cdc: changes buffered, of those written",
            "",
            measured([buffered]),
            Wanted.EXACTLY,
            _ROWS * _REPETITIONS,
        ),
    ]


def _site(folder: Path, url: str, db: psycopg.Connection) -> Site:
    db.execute("CREATE TABLE items (id int PRIMARY KEY, name text, other int)")
    db.execute("INSERT INTO items SELECT n, repeat('name ', 40) FROM generate_series(1, 100) n")
    site = Site.at(folder, url, db)
    site.install()
    site.lab.full()
    with site.followed():
        eventually(lambda: site.syncs() == 1)
    site.do_syncs()
    db.execute(
        "INSERT INTO items SELECT n, repeat('name ', 40) FROM generate_series(101, %s) n", (_ROWS,)
    )
    followed(site, _ROWS - 100)
    site.lab.apply_all()
    return site


def _write(site: Site, number: int) -> None:
    for start in range(0, _ROWS, _BATCH):
        site.db.execute(
            "UPDATE items SET other = %s WHERE id > %s AND id <= %s",
            (number, start, start + _BATCH),
        )


def followed(site: Site, rows: int) -> float:
    """Follow until so many changes more are buffered; return the seconds that it takes."""
    wanted, stop = site.feed().changes + rows, threading.Event()
    follower = Follower(site.lab.project, ENV, "main", stop)
    thread = threading.Thread(target=follower.run)
    started = time.perf_counter()
    thread.start()
    try:
        while site.feed().changes < wanted:
            if time.perf_counter() - started > _WAIT_SECONDS:
                raise RuntimeError("the log was not read in time")
            time.sleep(0.05)
        return time.perf_counter() - started
    finally:
        stop.set()
        thread.join()


def _thrown_away(site: Site) -> float:
    """Read the log from where the follower is, and keep nothing of it; return the seconds."""
    session = Session(str(site.lab.connection), source="main", cdc="logical", timeout_ms=30_000)
    commits = 0
    started = time.perf_counter()
    with closing(session), closing(Stream(session, site.feed().name, site.read_to())) as stream:
        while commits < _ROWS // _BATCH:
            message = stream.next()
            if message is None:
                stream.wait(1.0)
            elif message[:1] == b"C":
                commits += 1
    return time.perf_counter() - started
