"""The `semilayer` command and its sub-commands.

A sub-command is imported when it is used: none should wait for the libraries of another one.
"""

from __future__ import annotations

from importlib import import_module

import click

from semilayer_pipelines import __version__
from semilayer_pipelines.cli.context import Here, SemilayerGroup

__all__ = ["main"]

# Where the commands are, in the order in which `--help` shows them.
_COMMANDS = {
    "init": "init:init",
    "push": "push:push",
    "export": "export:export",
    "resume": "lifecycle:resume",
    "pause": "lifecycle:pause",
    "sync": "sync:sync",
    "verify": "verify:verify",
    "rollback": "rollback:rollback",
    "status": "status:status",
    "jobs": "jobs:jobs_command",
    "failed": "failed:failed",
    "explain": "explain:explain",
    "search": "search:search",
    "dev": "dev:dev",
    "webhook": "webhook:webhook",
    "embedder": "embedder:embedder",
    "keys": "keys:keys",
    "envs": "envs:envs",
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
        found = getattr(import_module(f"semilayer_pipelines.cli.{module}"), name)
        assert isinstance(found, click.Command)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="semilayer")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep a vector index in step with SQL tables."""
    ctx.obj = Here()
