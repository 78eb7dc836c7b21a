"""Starts and watches Dagster's programs for one project: code server, daemon, web server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from semilayer_pipelines.dev.supervisor import Process, Supervisor, free_port, wait_for_port
from semilayer_pipelines.errors import ConfigError, Terminal
from semilayer_pipelines.orchestration.remote.diagnose import load_error
from semilayer_pipelines.private_files import private_folder
from semilayer_pipelines.project import Project

__all__ = [
    "WORKSPACE",
    "follow_process",
    "program",
    "refuse_taken",
    "start_dagster",
    "webhook_process",
]

DEFINITIONS = "semilayer_pipelines.orchestration.definitions"
WORKSPACE = str(Path(__file__).parents[1] / "project_files" / "code_server.yaml")


def start_dagster(
    project: Project,
    *,
    ui_port: int | None,
    say: Callable[[str, str], None],
    environ: Mapping[str, str] | None = None,
    beside: Sequence[Process] = (),
) -> Supervisor:
    """Start code server, daemon and, with a port, the web server; return when all are up.

    `say` gets (process name, line). `environ` is added to every program's environment, `beside` is
    started after Dagster. Raises `ConfigError` when this is not a Dagster project's
    folder or the port is taken, and `Terminal` when a program does not come up or the lenses do not
    load; nothing is left running then.
    """
    root = project.settings.root
    _check_folder(root)
    if ui_port is not None:
        refuse_taken("--port", ui_port)
    private_folder(project.settings.home)
    private_folder(project.settings.home / "dagster")
    code_port = free_port()
    shared = {
        **os.environ,
        **_whole_paths(project),
        **(environ or {}),
        "DAGSTER_HOME": str(root),
        "SEMILAYER_CODE_SERVER_HOST": "127.0.0.1",
        "SEMILAYER_CODE_SERVER_PORT": str(code_port),
        "PYTHONUNBUFFERED": "1",
    }
    supervisor = Supervisor(root, shared, say)
    try:
        for process in (*_programs(code_port, ui_port), *beside):
            supervisor.start(process)
            if process.port == code_port and (problem := load_error(code_port)):
                raise Terminal(
                    f"Dagster cannot load the lenses: {problem}",
                    cure="The lines above say where; mend it and start again.",
                )
    except BaseException:
        # Also a Ctrl-C while the programs come up.
        supervisor.stop()
        raise
    return supervisor


def _whole_paths(project: Project) -> dict[str, str]:
    """Return the settings that are relative to this process's folder; the programs' is the root."""
    settings = project.settings
    whole = {"SEMILAYER_CONFIG": settings.config, "SEMILAYER_ROOT": settings.root}
    return {name: str(path) for name, path in whole.items() if name in os.environ}


def _check_folder(root: Path) -> None:
    if not (root / "dagster.yaml").is_file():
        raise ConfigError(
            f"There is no dagster.yaml in {root.name or root}.",
            cure="Start it in the folder of an sl.config.yaml, or make one: `semilayer init`.",
        )


def _programs(code_port: int, ui_port: int | None) -> list[Process]:
    programs = [
        Process(
            "code server",
            [
                *program("dagster"),
                *("code-server", "start", "-m", DEFINITIONS),
                *("-h", "127.0.0.1", "-p", str(code_port)),
            ],
            port=code_port,
        ),
        Process("daemon", [*program("dagster-daemon"), "run", "-w", WORKSPACE]),
    ]
    if ui_port is not None:
        programs.append(
            Process(
                "web server",
                [
                    *program("dagster-webserver"),
                    *("-w", WORKSPACE, "-h", "127.0.0.1", "-p", str(ui_port)),
                ],
                port=ui_port,
            )
        )
    return programs


def program(name: str) -> list[str]:
    """Return the command of a program of this environment."""
    beside = Path(sys.executable).with_name(name)
    return [str(beside)] if beside.is_file() else [name]


def webhook_process(port: int) -> Process:
    """Return the webhook as a program to start."""
    return Process("webhook", [*program("semilayer"), "webhook", "--port", str(port)], port=port)


def follow_process() -> Process:
    """Return the follower of all sources as a program to start."""
    return Process("follower", [*program("semilayer"), "follow", "--all-envs"])


def refuse_taken(option: str, port: int) -> None:
    """Raise `ConfigError` when something listens on the port."""
    if wait_for_port(port, 0.05):
        raise ConfigError(
            f"Port {port} is taken.", cure=f"Choose another: semilayer dev {option} {port + 1}"
        )
