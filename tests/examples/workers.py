"""A CDC worker as a process that gets killed, a table that is written to, and what came of it.

`Index` does what the service would do with each acknowledged change: read the row now, or delete
it. If a last change were lost, the index would differ from the table in the end.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import psycopg

from semilayer_pipelines.bridges.row_key import key_text_expr
from tests.client.service import KEY, Batch, Fault, Service
from tests.webhook.server import Server

EXAMPLES = Path(__file__).parents[2] / "examples"
FAULTS = (
    Fault(503),
    Fault(429, (("retry-after", "0"),)),
    Fault(None),
    Fault(None, after=True),
    Fault(500, after=True),
)


def dsn_of(url: str) -> str:
    """The URL as libpq reads it."""
    return url.replace("postgresql+psycopg", "postgresql")


def indexed_key(*parts: str) -> str:
    """The text by which the index knows a row whose key has these parts."""
    columns = [str(number) for number in range(len(parts))]
    row = pl.DataFrame([parts], schema=columns, orient="row")
    return str(row.select(key_text_expr(columns)).item())


@dataclass
class Index:
    """id → version, as of the newest acknowledged change of the id."""

    connection: psycopg.Connection
    versions: dict[str, int] = field(default_factory=dict)

    def apply(self, batch: Batch) -> None:
        """Apply acknowledged changes in their order."""
        upserts = [id for id, action in batch if action == "upsert"]
        for id, _ in batch:
            self.versions.pop(id, None)
        rows = self.connection.execute(
            "SELECT id::text, version FROM products WHERE id::text = ANY(%s)", (upserts,)
        )
        self.versions |= dict(rows.fetchall())

    def table(self) -> dict[str, int]:
        """What it should be."""
        rows = self.connection.execute("SELECT id::text, version FROM products")
        return dict(rows.fetchall())


@dataclass
class Worker:
    """The worker's process; it is not running after the `with` block."""

    command: Sequence[str | Path]
    dsn: str
    service: Service | Server
    errors: Path
    key: str = KEY
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {
            "DATABASE_URL": self.dsn,
            "SEMILAYER_URL": self.service.url,
            "SEMILAYER_INGEST_KEY": self.key,
        }
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *self.command], env=os.environ | settings, stderr=errors
            )

    def kill(self) -> None:
        """SIGKILL, at whatever instruction it is."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def exit_code(self) -> int:
        assert self.process is not None
        return self.process.wait(20)

    def said(self) -> str:
        return self.errors.read_text() if self.errors.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(condition())


@contextmanager
def written_to(dsn: str, seed: int, writers: int = 2) -> Iterator[None]:
    """Write to the table from several connections, whose transactions overlap, all the while."""
    done = threading.Event()

    def write(chance: random.Random) -> None:
        with psycopg.connect(dsn) as connection:
            while not done.is_set():
                _transaction(connection, chance)

    with ThreadPoolExecutor(writers) as pool:
        writing = [pool.submit(write, random.Random(f"{seed}-{n}")) for n in range(writers)]
        try:
            yield
        finally:
            done.set()
        for writer in writing:
            writer.result()


def _transaction(connection: psycopg.Connection, chance: random.Random) -> None:
    try:
        for _ in range(chance.randint(1, 4)):
            id, other, version = (
                _id(chance),
                _id(chance),
                chance.getrandbits(60),
            )
            match chance.choice(["write", "write", "write", "delete", "rename"]):
                case "write":
                    connection.execute(
                        "INSERT INTO products VALUES (%(id)s, %(version)s) "
                        "ON CONFLICT (id) DO UPDATE SET version = %(version)s",
                        {"id": id, "version": version},
                    )
                case "delete":
                    connection.execute("DELETE FROM products WHERE id = %s", (id,))
                case "rename":
                    connection.execute("DELETE FROM products WHERE id = %s", (other,))
                    connection.execute("UPDATE products SET id = %s WHERE id = %s", (other, id))
            time.sleep(chance.random() * 0.02)
        if chance.random() < 0.1:
            connection.rollback()
        else:
            connection.commit()
    except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
        connection.rollback()


def _id(chance: random.Random) -> int:
    # Few rows that change all the time, for the order of changes; and many that hardly ever change
    # again, so that a later change does not hide that one was lost.
    return chance.randrange(30) if chance.random() < 0.5 else chance.randrange(1_000, 9_000)


def fail_after_each(service: Service, index: Index, faults: Sequence[Fault]) -> None:
    """Let the next fault happen after each acknowledgement, so that no back-off gets long."""
    left = list(faults)

    def acknowledged(batch: Batch) -> None:
        index.apply(batch)
        service.faults += [left.pop(0)] if left else []

    service.on_acknowledged = acknowledged


def kill_at_random(
    worker: Worker,
    service: Service,
    index: Index,
    times: int,
    seed: int,
    *,
    shortest: float = 0.6,
    longest: float = 2.0,
) -> None:
    """Kill the worker again and again: at random moments, right before and after a receipt."""
    chance = random.Random(seed)

    def struck() -> bool:
        strikes = chance.random() < 0.35
        if strikes and worker.process is not None:
            worker.process.send_signal(signal.SIGKILL)
        return strikes

    def acknowledged(batch: Batch) -> None:
        index.apply(batch)
        struck()  # the receipt will find nobody

    service.on_acknowledged = acknowledged
    service.turned_away = struck
    killed = 0
    while killed < times:
        worker.start()
        assert worker.process is not None
        try:
            worker.process.wait(chance.uniform(shortest, longest))
        except subprocess.TimeoutExpired:
            worker.kill()
        assert worker.process.returncode == -signal.SIGKILL, worker.said()
        killed += 1
    service.on_acknowledged = index.apply
    service.turned_away = lambda: False
