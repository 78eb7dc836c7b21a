"""`semilayer envs`: what an environment may ask for."""

from __future__ import annotations

import click

from semilayer_pipelines.cli.context import Here, env_option, json_option, say, say_json
from semilayer_pipelines.registry import environments
from semilayer_pipelines.registry.environments import CALLS_PER_MINUTE, Environment, Tier

__all__ = ["envs"]


@click.group()
def envs() -> None:
    """List environments and set their tiers."""


@envs.command("list")
@json_option
@click.pass_obj
def list_(here: Here, as_json: bool) -> None:
    """List environments and how many ingest calls a minute each of their lenses takes."""
    with here.project.registry.read() as db:
        known = environments.list_all(db)
    if as_json:
        say_json(
            [
                {"env": env.slug, "tier": env.tier, "callsPerMinute": CALLS_PER_MINUTE[env.tier]}
                for env in known
            ]
        )
        return
    for env in known:
        say(_line(env))
    if not known:
        say("No environment yet; `semilayer push` makes one.")


@envs.command("set")
@click.option(
    "--tier",
    required=True,
    type=click.Choice(list(Tier), case_sensitive=False),
    help="Ingest calls a minute and lens: free 10, pro 60, team 300, enterprise any number.",
)
@env_option
@click.pass_obj
def set_(here: Here, tier: Tier, env: str) -> None:
    """Put an environment into a tier; the next call counts by it."""
    with here.project.registry.begin() as db:
        say(_line(environments.set_tier(db, env, tier)))


def _line(env: Environment) -> str:
    limit = CALLS_PER_MINUTE[env.tier]
    calls = "any number of ingest calls" if limit is None else f"{limit} ingest calls a minute"
    return f"{env.slug}: {env.tier.value if env.tier else 'no tier'}, {calls} for each lens"
