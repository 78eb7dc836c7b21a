"""`semilayer dangerously`: another spelling of `push --rebuild`, for those who know it so."""

from __future__ import annotations

import click

from semilayer_pipelines.cli.context import SuggestingGroup, env_option, json_option
from semilayer_pipelines.cli.push import push

__all__ = ["dangerously"]


@click.group(cls=SuggestingGroup)
def dangerously() -> None:
    """Do what replaces indexes; each command asks first."""


@dangerously.command()
@click.option("--rebuild", is_flag=True, help="Rebuild the indexes; required.")
@click.option("--lens", "only", multiple=True, help="Only this lens (may be repeated).")
@click.option(
    "--skip-confirmation-dangerously",
    "unasked",
    is_flag=True,
    help="Do not ask before a rebuild (for CI).",
)
@click.option("--wait", is_flag=True, help="Follow the ingest to its end.")
@env_option
@json_option
@click.pass_context
def sync(
    ctx: click.Context,
    rebuild: bool,
    only: tuple[str, ...],
    unasked: bool,
    wait: bool,
    env: str,
    as_json: bool,
) -> None:
    """Rebuild the index of every lens, as `push --rebuild` does."""
    if not rebuild:
        raise click.UsageError("It takes --rebuild. A sync without danger is: semilayer sync")
    ctx.invoke(push, rebuild=True, only=only, unasked=unasked, wait=wait, env=env, as_json=as_json)
