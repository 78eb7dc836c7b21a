"""The `semilayer` command and its sub-commands.

A sub-command is imported when it is used: none should wait for the libraries of another one.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module

import click

from semilayer_pipelines import __version__
from semilayer_pipelines.quick_imports import (
    this_is_a_command,
    with_one_blas_thread,
    without_collector,
)

with without_collector():
    from semilayer_pipelines.cli.context import Here, SemilayerGroup
    from semilayer_pipelines.project import read_project_env
    from semilayer_pipelines.redaction import redact_logs

__all__ = ["main"]

# Where the commands are, in the order in which `--help` shows them.
_COMMANDS = {
    "init": "semilayer_pipelines.cli.init:init",
    "import": "semilayer_pipelines.cli.import_config:import_config",
    "push": "semilayer_pipelines.cli.push:push",
    "export": "semilayer_pipelines.cli.export:export",
    "resume": "semilayer_pipelines.cli.lifecycle:resume",
    "pause": "semilayer_pipelines.cli.lifecycle:pause",
    "sync": "semilayer_pipelines.cli.sync:sync",
    "verify": "semilayer_pipelines.cli.verify:verify",
    "rollback": "semilayer_pipelines.cli.rollback:rollback",
    "cdc": "semilayer_pipelines.cli.cdc:cdc",
    "follow": "semilayer_pipelines.cli.cdc:follow",
    "status": "semilayer_pipelines.cli.status:status",
    "jobs": "semilayer_pipelines.cli.jobs:jobs_command",
    "failed": "semilayer_pipelines.cli.failed:failed",
    "alerts": "semilayer_pipelines.cli.alerts:alerts",
    "explain": "semilayer_pipelines.cli.explain:explain",
    "search": "semilayer_pipelines.cli.search:search",
    "dev": "semilayer_pipelines.cli.dev:dev",
    "webhook": "webhook.command:webhook",
    "embedder": "semilayer_pipelines.cli.embedder:embedder",
    "mcp": "semilayer_pipelines.agents.command:mcp",
    "keys": "semilayer_pipelines.cli.keys:keys",
    "envs": "semilayer_pipelines.cli.envs:envs",
    "dangerously": "semilayer_pipelines.cli.dangerously:dangerously",
}


class _Commands(SemilayerGroup):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, `None` when there is no such one."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        with without_collector(), with_one_blas_thread():
            found = getattr(import_module(module), name)
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="semilayer")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep a vector index in sync with SQL tables."""
    this_is_a_command()
    redact_logs()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal may not show each sign of a row, which is no reason to break off.
        sys.stdout.reconfigure(errors="replace")
    # Before a command reads its options, some of which have variables.
    read_project_env()
    ctx.obj = Here()
