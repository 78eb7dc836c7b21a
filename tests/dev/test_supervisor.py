"""Processes that are started, watched and stopped together."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from semilayer_pipelines.dev.supervisor import Process, Supervisor, free_port, wait_for_port
from semilayer_pipelines.errors import Terminal
from tests.gate import alive
from tests.patience import PATIENCE_SECONDS, eventually

LISTEN = """
import socket, sys
server = socket.create_server(("127.0.0.1", {port}))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("pid", os.getpid(), flush=True)
while True:
    time.sleep(0.1)
"""
SUPERVISING = """
import os, sys, time
from pathlib import Path
from semilayer_pipelines.dev.supervisor import Process, Supervisor, free_port

supervisor = Supervisor(Path.cwd(), os.environ, lambda _, line: print(line, flush=True))
script = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)"
supervisor.start(Process("child", [sys.executable, "-c", script]))
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pid", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def lines() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, lines: list[tuple[str, str]]) -> Iterator[Supervisor]:
    made = Supervisor(
        tmp_path, os.environ, lambda name, line: lines.append((name, line)), patience=0.5
    )
    yield made
    made.stop()


def python(name: str, script: str, *, port: int | None = None) -> Process:
    return Process(name, [sys.executable, "-c", script], port=port, ready_seconds=PATIENCE_SECONDS)


def pid_told(lines: list[tuple[str, str]]) -> int:
    eventually(lambda: any(line.startswith("pid ") for _, line in lines))
    return int(next(line for _, line in lines if line.startswith("pid ")).split()[1])


def test_a_machine_that_lets_nobody_listen_is_told_and_not_tried_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr("semilayer_pipelines.dev.supervisor.socket.socket.bind", refuse)

    with pytest.raises(Terminal, match="ports of this machine") as refused:
        free_port()
    assert "127.0.0.1" in refused.value.cure


def test_a_start_waits_until_the_process_listens(
    supervisor: Supervisor, lines: list[tuple[str, str]]
) -> None:
    port = free_port()

    supervisor.start(python("server", LISTEN.format(port=port), port=port))

    assert wait_for_port(port, 0.2)
    eventually(lambda: ("server", "listening") in lines)
    assert supervisor.ended() is None


def test_a_stop_frees_the_ports(supervisor: Supervisor) -> None:
    port = free_port()
    supervisor.start(python("server", LISTEN.format(port=port), port=port))

    supervisor.stop()

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_a_process_that_ignores_the_signal_is_killed(
    supervisor: Supervisor, lines: list[tuple[str, str]]
) -> None:
    supervisor.start(python("stubborn", STUBBORN))
    pid = pid_told(lines)

    supervisor.stop()

    assert not alive(pid)


def test_what_a_process_started_itself_is_stopped_with_it(
    supervisor: Supervisor, lines: list[tuple[str, str]]
) -> None:
    supervisor.start(python("parent", PARENT))
    grandchild = pid_told(lines)

    supervisor.stop()

    eventually(lambda: not alive(grandchild))


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="Linux with util-linux alone can do it")
def test_nothing_outlives_a_supervisor_that_was_killed_outright() -> None:
    supervising = subprocess.Popen(
        [sys.executable, "-c", SUPERVISING], stdout=subprocess.PIPE, text=True
    )
    with supervising:
        assert supervising.stdout is not None
        child = int(supervising.stdout.readline().removeprefix("pid "))
        # Open from now on, so that no other process is ever taken for the child.
        gone = os.pidfd_open(child)

        supervising.kill()

    try:
        ended, _, _ = select.select([gone], [], [], PATIENCE_SECONDS)
    finally:
        os.close(gone)
    assert ended, "the child lives on"


def test_a_process_that_ends_is_named_and_its_last_words_are_out(
    supervisor: Supervisor, lines: list[tuple[str, str]]
) -> None:
    supervisor.start(python("lasting", "import time; time.sleep(600)"))
    supervisor.start(python("brief", "print('no such thing'); raise SystemExit(3)"))

    eventually(lambda: supervisor.ended())

    assert supervisor.ended() == "brief"
    supervisor.stop()
    assert ("brief", "no such thing") in lines


def test_a_process_that_ends_before_it_listens_takes_the_others_down(
    supervisor: Supervisor, lines: list[tuple[str, str]]
) -> None:
    supervisor.start(python("first", STUBBORN))
    first = pid_told(lines)

    with pytest.raises(Terminal, match="The second ended"):
        supervisor.start(python("second", "raise SystemExit(1)", port=free_port()))

    assert not alive(first)


def test_a_port_that_somebody_else_has_is_told_before_anything_is_started(
    supervisor: Supervisor,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(Terminal, match=f"port {port}"):
            supervisor.start(python("server", LISTEN.format(port=port), port=port))


def test_a_program_that_is_not_there_is_told_in_words(
    supervisor: Supervisor, lines: list[tuple[str, str]]
) -> None:
    supervisor.start(python("first", STUBBORN))
    first = pid_told(lines)

    with pytest.raises(Terminal, match="make setup"):
        supervisor.start(Process("ghost", ["/nonexistent/program"]))

    assert not alive(first)


def test_lines_are_read_on_when_they_can_no_longer_be_printed(tmp_path: Path) -> None:
    # given a terminal that went away
    def gone(_: str, __: str) -> None:
        raise BrokenPipeError

    supervisor = Supervisor(tmp_path, os.environ, gone, patience=0.5)
    script = "import pathlib\nprint('x' * 10 + '\\n' * 200_000)\npathlib.Path('done').touch()"

    # when a process prints more than a pipe holds
    supervisor.start(python("chatty", script))

    # then it is not held up
    eventually(lambda: (tmp_path / "done").exists())
    supervisor.stop()
