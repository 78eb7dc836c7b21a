"""`semilayer dev` as a process of its own, in a project folder, with its output in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from semilayer_pipelines.dev.supervisor import free_port
from semilayer_pipelines.registry import jobs
from semilayer_pipelines.registry.jobs import Job
from tests.cli.project import SEMILAYER, Folder
from tests.orchestration.graphql import Graphql

_T = TypeVar("_T")


def until(happened: Callable[[], _T], seconds: float, what: str) -> _T:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)
    return found


@dataclass
class Dev:
    """The development server of a folder."""

    folder: Folder
    port: int = field(default_factory=free_port)
    webhook_port: int = field(default_factory=free_port)
    log_name: str = "dev.log"
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.as_dagster_project()
        self.folder.environ["SEMILAYER_DAGSTER_URL"] = f"http://127.0.0.1:{self.port}"

    @property
    def graphql(self) -> Graphql:
        return Graphql(f"http://127.0.0.1:{self.port}")

    @property
    def webhook(self) -> httpx.Client:
        """The webhook, called with a service key that is made for it."""
        made = self.folder.json("keys", "create", "--type", "service", "--name", "of a test")
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.webhook_port}",
            headers={"authorization": f"Bearer {made['key']}"},
            timeout=40,
        )

    @property
    def log(self) -> str:
        return (self.folder.path / self.log_name).read_text(errors="replace")

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it and wait until it says that it is up."""
        with (self.folder.path / self.log_name).open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(SEMILAYER, "dev", "--webhook-port", str(self.webhook_port)),
                    *(options or ("--port", str(self.port))),
                ],
                cwd=self.folder.path,
                env=self.folder.full_environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            until(lambda: self.ended() or "Ctrl-C stops everything" in self.log, 90, "start")
            assert not self.ended(), self.log

    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def exit_code(self, seconds: float = 60) -> int:
        assert self._process
        return self._process.wait(seconds)

    def interrupt(self) -> None:
        """Press Ctrl-C and wait for the end."""
        assert self._process
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def stop(self) -> None:
        if self._process is not None and not self.ended():
            self.interrupt()

    def family(self) -> list[int]:
        """Return the ids of its process and of all that came from it, by /proc."""
        assert self._process
        parents: dict[int, int] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it ended while we looked
        family = [self._process.pid]
        for pid in family:  # grows as it goes
            family += [child for child, parent in parents.items() if parent == pid]
        return family

    def job(self, job_id: str) -> Job:
        with self.folder.project.registry.read() as db:
            return jobs.get(db, job_id)

    def latest_job(self, lens: str) -> Job:
        with self.folder.project.registry.read() as db:
            return next(job for job in jobs.recent(db, limit=100) if job.lens == lens)

    def waiting_command(self, *arguments: str) -> str:
        """Run a command that waits for a job; return what it says."""
        done = subprocess.run(
            [SEMILAYER, *arguments],
            cwd=self.folder.path,
            env=self.folder.full_environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.log[-3000:]
        return done.stdout


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
