"""Several processes as one: started in order, their lines in one stream, stopped together.

Used by `semilayer dev` and by the demo. A child that ends by itself takes the others with it, so
that nothing runs on unseen. No process may be left behind, whatever interrupts the supervisor. If
it is killed outright, Linux ends its children in its place.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from semilayer_pipelines.errors import Terminal
from semilayer_pipelines.private_files import OWNER_ONLY

__all__ = ["Process", "Supervisor", "free_port", "wait_for_port"]

STOP_SECONDS = 15.0
RELAY_SECONDS = 1.0
_PORTS = range(20_000, 32_000)
_TRIED_PORTS = 100
_dice = random.SystemRandom()
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Process:
    """A program to run; `port` is what it listens on once it is ready, if it listens."""

    name: str
    command: Sequence[str]
    port: int | None = None
    ready_seconds: float = 60.0


@dataclass(frozen=True)
class _Running:
    process: Process
    child: subprocess.Popen[str]
    relay: threading.Thread


@dataclass
class Supervisor:
    """Runs processes; `say` gets (process name, line) for every line they print.

    `patience` is how many seconds a process has to end by itself before it is killed.
    """

    cwd: Path
    environ: Mapping[str, str]
    say: Say
    patience: float = STOP_SECONDS
    _running: list[_Running] = field(default_factory=list)

    def start(self, process: Process) -> None:
        """Start a process and wait until it listens.

        Raises `Terminal` when it cannot be started, ends first or does not listen in time;
        everything is stopped then.
        """
        if process.port is not None and wait_for_port(process.port, 0.05):
            self.stop()
            raise Terminal(
                f"The {process.name} cannot have port {process.port}: somebody listens there."
            )
        try:
            # A session of its own: a Ctrl-C in the terminal reaches only us, and we stop them in
            # order.
            child = subprocess.Popen(
                _ending_with_us(process.command),
                cwd=self.cwd,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
                # What they keep is a copy of the source's rows.
                umask=OWNER_ONLY,
            )
        except OSError as error:
            self.stop()
            raise Terminal(
                f"The {process.name} cannot be started: {process.command[0]}: {error.strerror}.",
                cure="Is everything installed? `make setup` does it.",
            ) from None
        relay = threading.Thread(target=self._relay, args=(process, child), daemon=True)
        self._running.append(_Running(process, child, relay))
        relay.start()
        if process.port is not None and not wait_for_port(
            process.port, process.ready_seconds, lambda: child.poll() is None
        ):
            why = "ended" if child.poll() is not None else f"is not up on port {process.port} yet"
            self.stop()
            raise Terminal(
                f"The {process.name} {why}; it was given {process.ready_seconds:.0f} s.",
                cure="Its last lines above say why.",
            )

    def ended(self) -> str | None:
        """Return the name of a process that has ended, or `None` while all run."""
        return next((r.process.name for r in self._running if r.child.poll() is not None), None)

    def stop(self) -> None:
        """Stop every process, the last started first, whatever it takes."""
        for running in reversed(self._running):
            child = running.child
            _signal_group(child, signal.SIGTERM)
            deadline = time.monotonic() + self.patience
            while child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            # The group outlives its leader when a run is still going on; runs may be killed safely.
            _signal_group(child, signal.SIGKILL)
            child.wait()
            # Its last lines must be out before somebody reads that they say why.
            running.relay.join(RELAY_SECONDS)
        self._running.clear()

    def _relay(self, process: Process, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            # Read on whatever happens to a line: a child whose output nobody takes stops.
            with suppress(OSError):
                self.say(process.name, line.rstrip("\n"))


def _ending_with_us(command: Sequence[str]) -> list[str]:
    """Have Linux end a process when this one is gone, however that came about.

    `setpriv` is part of every Linux but the smallest; elsewhere a kill -9 leaves the children.
    """
    setpriv = shutil.which("setpriv")
    # What is not there is better told by its own name than by `setpriv`.
    if setpriv is None or shutil.which(command[0]) is None:
        return list(command)
    return [setpriv, "--pdeathsig", "TERM", "--", *command]


def _signal_group(child: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return


def free_port() -> int:
    """Return a port of this machine that nobody listens on, for a server that starts in a moment.

    It is none of those that the system gives to outgoing connections: one might have it by then.
    Raises `Terminal` when a hundred of them cannot be had.
    """
    for port in _dice.sample(_PORTS, _TRIED_PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise Terminal(
        f"None of {_TRIED_PORTS} ports of this machine could be opened.",
        cure="Allow this program to listen on 127.0.0.1, or end what has its ports.",
    )


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
