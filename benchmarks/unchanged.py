"""Smart sync of a PostgreSQL table that nobody wrote to, and of one with few writes.

The server is its own: on one that others write to, the table's mark moves with every write.

`SEMILAYER_BASELINE` may name a checkout of an older build, whose walk is measured in turns with
this one's; without it, this build's own whole walk is what the others are compared with.
`SEMILAYER_BENCH_ROWS` is the size of the table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from benchmarks.catalogue import workplace
from benchmarks.result import Result, Wanted, measured
from tests import servers
from tests.proxy import Proxy

__all__ = ["run"]

_ROWS = 300_000
_TURNS = 3
_FEW = 10_000  # one row in so many is updated, and one deleted
_HERE = Path(__file__).resolve().parents[1]
_TICKS = os.sysconf("SC_CLK_TCK")

_FILL = """
CREATE TABLE posts AS SELECT n::bigint AS id, 'post ' || n AS title,
  repeat(md5(n::text), 11) AS body, n % 5 AS stars FROM generate_series(1, {rows}) n;
ALTER TABLE posts ADD PRIMARY KEY (id);
CREATE TABLE others (n int);
"""


def run() -> list[Result]:
    rows = int(os.environ.get("SEMILAYER_BENCH_ROWS", _ROWS))
    with (
        workplace() as folder,
        servers.database(servers.logical_postgres_url()) as url,
        ExitStack() as all,
    ):
        application = all.enter_context(_connected(url))
        for statement in _FILL.format(rows=rows).split(";"):
            application.execute(statement)
        application.execute("VACUUM ANALYZE posts")
        server = _Server.of(application)
        baseline = Path(os.environ.get("SEMILAYER_BASELINE", _HERE))
        old = all.enter_context(_probe(folder / "old", baseline, url))
        new = all.enter_context(_probe(folder / "new", _HERE, url))
        old.tell("sync")  # the first ingest
        new.tell("sync")
        new.tell("sync")  # once against the index
        walks, counted, by_row, few = (_Turns(), _Turns(), _Turns(), _Turns())
        wrong: list[int] = []
        missed: list[int] = []
        for turn in range(_TURNS):
            server.measure(walks, lambda: old.tell("whole"))
            server.measure(counted, lambda: new.tell("sync"))
            application.execute("INSERT INTO others VALUES (1)")
            server.measure(by_row, lambda: new.tell("sync"))
            updated, deleted = _change(application, turn)
            server.measure(few, lambda: new.tell("sync"))
            wrong.append(few.counts[-1]["embedded"] - updated)
            missed.append(few.counts[-1]["deleted"] - deleted)
            new.tell("sync")
        moved = _bytes_of_a_sync(folder / "new", url, application, new)
    walk = measured(walks.seconds).median
    left = f"{rows:,} rows of PostgreSQL"
    return [
        Result(f"{left}: whole walk", "s", measured(walks.seconds)),
        _times(f"{left}: nothing written, by its mark", walk, counted.seconds, 500),
        _times(f"{left}: nothing written, row by row", walk, by_row.seconds, 3),
        _times(
            f"{left}: nothing written, row by row, processor of the server",
            measured(walks.processor).median,
            by_row.processor,
            2,
        ),
        Result(
            f"{left}: nothing written, bytes from the source",
            "B",
            measured([moved]),
            Wanted.AT_MOST,
            1_000_000,
        ),
        _times(f"{left}: 0.01 % updated, 0.01 % deleted", walk, few.seconds, 3),
        _exact("rows embedded but changed ones", wrong),
        _exact("rows deleted but those that went", missed),
        _exact("rows read of an unwritten table", [c["read"] for c in counted.counts]),
    ]


class _Turns:
    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.counts: list[dict[str, Any]] = []


@dataclass(frozen=True)
class _Server:
    """A PostgreSQL server on this machine, by its first process."""

    pid: int

    @classmethod
    def of(cls, connection: psycopg.Connection[Any]) -> _Server:
        backend = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert backend is not None
        return cls(int(_stat(int(backend[0]))[1]))

    def measure(self, turns: _Turns, action: Any) -> None:
        before = self._processor()
        told = action()
        turns.processor.append(self._processor() - before)
        turns.seconds.append(told["seconds"])
        turns.counts.append(told)

    def _processor(self) -> float:
        """Return the seconds of all of its processes, those that ended too."""
        found = [self.pid]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(_stat(int(entry.name))[1]) == self.pid:
                found.append(int(entry.name))
        own = sum(sum(map(int, _stat(pid)[11:13])) for pid in found)
        return (own + sum(map(int, _stat(self.pid)[13:15]))) / _TICKS


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 20


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        yield connection


class _Probe:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told


@contextmanager
def _probe(folder: Path, build: Path, url: str) -> Iterator[_Probe]:
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("unchanged_probe.py"), str(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(build), "POSTS": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield _Probe(process)
    finally:
        process.communicate("")


def _change(application: psycopg.Connection[Any], turn: int) -> tuple[int, int]:
    """Update some rows and delete as many others, all over the table; return how many."""
    among = f"WHERE mod(hashint8(id)::bigint + 2147483648, {_FEW}) = 2 * {turn}"
    updated = application.execute(f"UPDATE posts SET title = title || ' {turn}' {among}")
    deleted = application.execute(f"DELETE FROM posts {among} + 1")
    return updated.rowcount, deleted.rowcount


def _bytes_of_a_sync(
    folder: Path, url: str, application: psycopg.Connection[Any], before: _Probe
) -> float:
    """Return how many bytes the source sends for a sync that asks about every row."""
    before.tell("sync")
    application.execute("INSERT INTO others VALUES (1)")
    server = make_url(url)
    proxy = Proxy(server.host or "", server.port or 5432)
    through = server.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    with _probe(folder, _HERE, through) as probe:
        probe.tell("sync")
    proxy.cut()
    return float(proxy.sent)


def _times(name: str, walk: float, seconds: list[float], target: float) -> Result:
    return Result(name, "times less", measured([walk / s for s in seconds]), target=target)


def _exact(name: str, counts: list[int]) -> Result:
    return Result(name, "rows", measured(counts), Wanted.EXACTLY, 0)
