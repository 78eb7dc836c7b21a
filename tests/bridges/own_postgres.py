"""A PostgreSQL server of one test module: to be stopped hard, moved on and copied."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from semilayer_pipelines.dev.supervisor import free_port
from tests import servers
from tests.patience import PATIENCE_SECONDS

_PER_SEGMENT = 2**20
_SETTINGS = "autovacuum=off max_prepared_transactions=5 wal_level=logical shared_buffers=16MB"


@dataclass(frozen=True)
class OwnPostgres:
    """A cluster: `bin` has the programs, `home` is where its data lie."""

    bin: Path
    home: Path
    port: int
    user: str | None

    @classmethod
    def opened(cls) -> Iterator[OwnPostgres]:
        """Yield a cluster that runs; stop and remove it afterwards."""
        found = servers.program_folder(
            "postgres", sorted(Path("/usr/lib/postgresql").glob("*/bin"))[::-1]
        )
        if found is None:
            servers.missing("no server programs of PostgreSQL")
        home = servers.new_home("postgres")
        own = cls(found, home, free_port(), servers.server_user("postgres"))
        own.call("initdb", "-D", own.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        own.start()
        try:
            yield own
        finally:
            own.stop("immediate")
            shutil.rmtree(home, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.home / "data"

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, as a source's connection has it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """Open a session in which each statement is committed."""
        return psycopg.connect(self.url(database), autocommit=True, **options)

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements, each committed, in a session of their own."""
        with self.connect(database) as session:
            for statement in statements:
                session.execute(statement)

    def call(self, program: str, *arguments: str | Path) -> str:
        """Run one of PostgreSQL's programs and return what it wrote."""
        done = subprocess.run(
            [self.bin / program, *arguments],
            user=self.user,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        if done.returncode != 0:
            pytest.fail(f"{program} failed: {done.stdout[-500:]} {done.stderr[-500:]}")
        return done.stdout

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = " ".join(f"-c {setting}" for setting in _SETTINGS.split())
        options = f"-p {self.port} -k {self.home} -F -h 127.0.0.1 {settings}"
        log = self.home / "log"
        self.call("pg_ctl", "-D", self.data, "-w", "-l", log, "-o", options, "start")

    def stop(self, how: str) -> None:
        """Stop it: `fast`, or `immediate`, which is a crash."""
        self.call("pg_ctl", "-D", self.data, "-w", "-m", how, "stop")

    def crash_a_session(self) -> None:
        """Kill a session's process, so that the server begins again without being started."""
        with self.connect() as session:
            (pid,) = session.execute("SELECT pg_backend_pid()").fetchone() or (0,)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
        self.wait()

    def wait(self) -> None:
        """Wait until it answers."""
        servers.when_up(self.url().replace("postgresql:", "postgresql+psycopg:"), self.home)

    def move_on(self, transaction: int) -> None:
        """Restart it with a later transaction number; fewer than 2^31 later than all that is."""
        self.call("vacuumdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-aFq")
        self.stop("fast")
        self.call("pg_resetwal", "-x", str(transaction), "-D", str(self.data))
        segment = self.data / "pg_xact" / f"{transaction // _PER_SEGMENT:04X}"
        segment.write_bytes(bytes(_PER_SEGMENT // 4))
        if self.user is not None:
            shutil.chown(segment, self.user)
        self.start()
