"""`semilayer dev`: everything in one terminal; one Ctrl-C stops all of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from rich.text import Text

from semilayer_pipelines.cli.context import Here, console, say
from semilayer_pipelines.errors import ConfigError, Terminal
from semilayer_pipelines.orchestration.alive import load_error
from semilayer_pipelines.project import Project
from semilayer_pipelines.supervisor import Process, Supervisor, free_port, wait_for_port

__all__ = ["dev", "start_dagster"]

DEFINITIONS = "semilayer_pipelines.orchestration.definitions"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TEDIOUS = (
    "Checking for new runs for sensor",
    "skipped: No job is due.",
    "checking tag concurrency limits",
    " - dagster - DEBUG - ",
)
"""Parts of lines that Dagster repeats every few seconds or for every step; its UI has them all."""

_COLOURS = {"code server": "cyan", "web server": "green", "daemon": "yellow"}


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--no-ui", is_flag=True, help="Without the web server.")
@click.pass_obj
def dev(here: Here, port: int, no_ui: bool) -> None:
    """Run Dagster (UI, daemon, code server) for this project until Ctrl-C."""
    before = {number: signal.signal(number, _interrupt) for number in _ENDING}
    supervisor = None
    ended = None
    try:
        supervisor = start_dagster(here.project, ui_port=None if no_ui else port, say=_say)
        say("\n  " + _welcome(here.project, None if no_ui else port) + "\n")
        while not (ended := supervisor.ended()):
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass  # how this command is meant to end
    finally:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        if supervisor is not None:
            # The terminal may be gone, which is no reason to leave anything running.
            with suppress(OSError):
                say("Stopping …")
            supervisor.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    if ended:
        raise Terminal(f"The {ended} ended by itself; its last lines above say why.")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _welcome(project: Project, port: int | None) -> str:
    if port is None:
        return "Dagster is up, without its UI. Ctrl-C stops everything."
    url = f"http://127.0.0.1:{port}"
    told = f"Dagster: {url}   (Ctrl-C stops everything)"
    if url != project.settings.dagster_url:
        told += f"\n  For `semilayer push` to find it: export SEMILAYER_DAGSTER_URL={url}"
    return told


def start_dagster(
    project: Project, *, ui_port: int | None, say: Callable[[str, str], None]
) -> Supervisor:
    """Start code server, daemon and, with a port, the web server; return when all are up.

    `say` gets (process name, line). Raises `ConfigError` when this is not a Dagster project's
    folder or the port is taken, and `Terminal` when a program does not come up or the lenses do not
    load; nothing is left running then.
    """
    root = project.settings.root
    for name in ("dagster.yaml", "workspace.yaml"):
        if not (root / name).is_file():
            raise ConfigError(
                f"There is no {name} in {root.name or root}.",
                cure="Start it in the project's folder.",
            )
    if ui_port is not None and wait_for_port(ui_port, 0.05):
        raise ConfigError(
            f"Port {ui_port} is taken.", cure="Choose another: semilayer dev --port 3001"
        )
    (project.settings.home / "dagster").mkdir(parents=True, exist_ok=True)
    code_port = free_port()
    environ = os.environ | {
        "DAGSTER_HOME": str(root),
        "SEMILAYER_CODE_SERVER_HOST": "127.0.0.1",
        "SEMILAYER_CODE_SERVER_PORT": str(code_port),
        "PYTHONUNBUFFERED": "1",
    }
    supervisor = Supervisor(root, environ, say)
    programs = [
        Process(
            "code server",
            [
                *_program("dagster"),
                *("code-server", "start", "-m", DEFINITIONS),
                *("-h", "127.0.0.1", "-p", str(code_port)),
            ],
            port=code_port,
        ),
        Process("daemon", [*_program("dagster-daemon"), "run", "-w", "workspace.yaml"]),
    ]
    if ui_port is not None:
        programs.append(
            Process(
                "web server",
                [
                    *_program("dagster-webserver"),
                    *("-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(ui_port)),
                ],
                port=ui_port,
            )
        )
    try:
        for program in programs:
            supervisor.start(program)
            if program.port == code_port and (problem := load_error(code_port)):
                raise Terminal(
                    f"Dagster cannot load the lenses: {problem}",
                    cure="The lines above say where; mend it and start again.",
                )
    except BaseException:
        # Also a Ctrl-C while the programs come up.
        supervisor.stop()
        raise
    return supervisor


def _program(name: str) -> list[str]:
    beside = Path(sys.executable).with_name(name)
    return [str(beside)] if beside.is_file() else [name]


def _say(name: str, line: str) -> None:
    if any(tedious in line for tedious in _TEDIOUS):
        return
    # One call a line: three threads print here.
    console.print(Text.assemble((f"{name:>11} ", _COLOURS[name]), Text.from_ansi(line)))
