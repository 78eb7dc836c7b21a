"""The `semilayer` command and its sub-commands."""

from __future__ import annotations

import click

from semilayer_pipelines import __version__
from semilayer_pipelines.cli.context import Here, SemilayerGroup
from semilayer_pipelines.cli.dev import dev
from semilayer_pipelines.cli.embedder import embedder
from semilayer_pipelines.cli.jobs import jobs_command
from semilayer_pipelines.cli.lifecycle import pause, resume, sync
from semilayer_pipelines.cli.push import push
from semilayer_pipelines.cli.search import search
from semilayer_pipelines.cli.status import status

__all__ = ["main"]


@click.group(cls=SemilayerGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="semilayer")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keep a vector index in step with SQL tables."""
    ctx.obj = Here()


for command in (push, resume, pause, sync, status, jobs_command, search, dev, embedder):
    main.add_command(command)
