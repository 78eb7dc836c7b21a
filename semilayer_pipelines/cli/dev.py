"""`semilayer dev`: everything in one terminal; one Ctrl-C stops all of it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.text import Text

from semilayer_pipelines.cli.context import Here, console, say
from semilayer_pipelines.errors import ConfigError, Terminal
from semilayer_pipelines.project import Project
from semilayer_pipelines.supervisor import Process, Supervisor, free_port, wait_for_port

__all__ = ["dev", "start_dagster"]

DEFINITIONS = "semilayer_pipelines.orchestration.definitions"
_COLOURS = {"code server": "cyan", "web server": "green", "daemon": "yellow"}


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
@click.option("--no-ui", is_flag=True, help="Without the web server.")
@click.pass_obj
def dev(here: Here, port: int, no_ui: bool) -> None:
    """Run Dagster (UI, daemon, code server) for this project until Ctrl-C."""
    supervisor = start_dagster(here.project, ui_port=None if no_ui else port, say=_say)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopping.append(received))
    try:
        if not no_ui:
            say(f"\n  Dagster: http://127.0.0.1:{port}   (Ctrl-C stops everything)\n")
        while not stopping and not (ended := supervisor.ended()):
            time.sleep(0.2)
    finally:
        say("Stopping …")
        supervisor.stop()
    if not stopping:
        raise Terminal(f"The {ended} ended by itself; its last lines above say why.")


def start_dagster(
    project: Project, *, ui_port: int | None, say: Callable[[str, str], None]
) -> Supervisor:
    """Start code server, daemon and, with a port, the web server; return when all are up.

    `say` gets (process name, line). Raises `ConfigError` when this is not a Dagster project's folder or the port is taken.
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
    for program in programs:
        supervisor.start(program)
    return supervisor


def _program(name: str) -> list[str]:
    beside = Path(sys.executable).with_name(name)
    return [str(beside)] if beside.is_file() else [name]


def _say(name: str, line: str) -> None:
    # One call a line: three threads print here.
    console.print(Text.assemble((f"{name:>11} ", _COLOURS[name]), line))
