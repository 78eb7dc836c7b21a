"""Several processes as one: started in order, their lines in one stream, stopped together.

Used by `semilayer dev` and by the demo. A child that ends by itself takes the others with it, so
that nothing runs on unseen.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semilayer_pipelines.errors import Terminal

__all__ = ["Process", "Supervisor", "free_port", "wait_for_port"]

STOP_SECONDS = 15.0
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Process:
    """A program to run; `port` is what it listens on once it is ready, if it listens."""

    name: str
    command: Sequence[str]
    port: int | None = None
    ready_seconds: float = 60.0


@dataclass
class Supervisor:
    """Runs processes; `say` gets (process name, line) for every line they print."""

    cwd: Path
    environ: Mapping[str, str]
    say: Say
    _running: list[tuple[Process, subprocess.Popen[str]]] = field(default_factory=list)

    def start(self, process: Process) -> None:
        """Start a process and wait until it listens.

        Raises `Terminal` when it ends first or does not listen in time; everything is stopped then.
        """
        # A session of its own: a Ctrl-C in the terminal reaches only us, and we stop them in order.
        child = subprocess.Popen(
            process.command,
            cwd=self.cwd,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._running.append((process, child))
        threading.Thread(target=self._relay, args=(process, child), daemon=True).start()
        if process.port is not None and not wait_for_port(
            process.port, process.ready_seconds, lambda: child.poll() is None
        ):
            self.stop()
            raise Terminal(
                f"{process.name} did not come up on port {process.port}.",
                cure="Its last lines above say why; is the port taken?",
            )

    def ended(self) -> str | None:
        """Return the name of a process that has ended, or `None` while all run."""
        return next((p.name for p, child in self._running if child.poll() is not None), None)

    def stop(self) -> None:
        """Stop every process, the last started first, whatever it takes."""
        for _, child in reversed(self._running):
            _signal_group(child, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            # The group outlives its leader when a run is still going on; runs may be killed safely.
            _signal_group(child, signal.SIGKILL)
            child.wait()
        self._running.clear()

    def _relay(self, process: Process, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            self.say(process.name, line.rstrip("\n"))


def _signal_group(child: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


def free_port() -> int:
    """Return a port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, seconds: float, alive: Callable[[], bool] = lambda: True) -> bool:
    """Wait until somebody listens on a port of this machine; `False` when nobody does in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive():
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.1)
    return False
